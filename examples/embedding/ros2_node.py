"""A ROS 2 node from one image topic to another: ros2 run, or python ros2_node.py --ros-args -p model:=cxr-x4-fast.

The subscription keeps the newest message alone (depth 1, best effort), so that a slow network drops frames and never
lags behind.
"""

from __future__ import annotations

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

import edgesr

CHANNELS = {"rgb8": 3, "bgr8": 3, "mono8": 1}


class Restorer(Node):
    """Subscribes to ``image_in`` (rgb8, bgr8 or mono8) and publishes ``image_out`` with the same stamp."""

    def __init__(self) -> None:
        super().__init__("edgesr")
        self.declare_parameter("model", "cxr-x4-fast")
        self.declare_parameter("device", "auto")
        model, device = (self.get_parameter(name).value for name in ("model", "device"))
        self.restore = edgesr.load(model, device)
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.publisher = self.create_publisher(Image, "image_out", 1)
        self.create_subscription(Image, "image_in", self.on_image, newest)

    def on_image(self, message: Image) -> None:
        """Restore one message and publish the result."""
        channels = CHANNELS.get(message.encoding)
        if channels is None:
            self.get_logger().error(f"encoding {message.encoding} is not one of {', '.join(CHANNELS)}")
            return
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        image = rows[:, : message.width * channels].reshape(message.height, message.width, channels)
        is_bgr = message.encoding == "bgr8"
        large = self.restore(np.ascontiguousarray(image[..., ::-1]) if is_bgr else image)
        answer = Image()
        answer.header = message.header
        answer.height, answer.width = large.shape[:2]
        answer.encoding, answer.is_bigendian = message.encoding, 0
        answer.step = answer.width * channels
        answer.data = (large[..., ::-1] if is_bgr else large).tobytes()
        self.publisher.publish(answer)

    def destroy_node(self) -> None:
        """Free the network with the node."""
        self.restore.close()
        super().destroy_node()


def main() -> None:
    """Spin until the node is stopped."""
    rclpy.init()
    node = Restorer()
    try:
        rclpy.spin(node)
    finally:
        node.destroy_node()
        rclpy.shutdown()


if __name__ == "__main__":
    main()
