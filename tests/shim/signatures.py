"""What the virtual methods of TensorRT's library take and return, and which part of the double answers them.

Each line is a method's name and, after it, `RETURN ATTRIBUTE` for one that reads an attribute of the double,
`RETURN ATTRIBUTE = KIND` for one that sets it, `RETURN METHOD(KIND, ...)` for one that calls it. Kinds are C types
(`i32`, `u64`, `f32`, `bool`, `str`, `ptr`), `object` for an object of the library's, `object:Class` for one that Python
implements, `enum:Name`, `dims` (by reference; returned by value), `dims_value`, and `blob` for address and size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TEXT = {
    "VHostMemory": """
        data            ptr address
        size            u64 nbytes
        type            enum:DataType dtype
    """,
    "VRuntime": """
        deserializeCudaEngine       object deserialize_cuda_engine(blob)
        getNbDLACores               i32 num_DLA_cores
        getDLACore                  i32 DLA_core
        setDLACore                  void DLA_core = i32
        setMaxThreads               bool max_threads = i32
        getMaxThreads               i32 max_threads
        getTemporaryDirectory       str temporary_directory
        setEngineHostCodeAllowed    void engine_host_code_allowed = bool
        getEngineHostCodeAllowed    bool engine_host_code_allowed
        setErrorRecorder            void error_recorder = ptr
    """,
    "VOptimizationProfile": """
        setDimensions           bool set_dimensions(str, i32, dims)
        getDimensions           dims get_dimensions(str, i32)
        isValid                 bool is_valid()
        setExtraMemoryTarget    bool extra_memory_target = f32
        getExtraMemoryTarget    f32 extra_memory_target
        getNbShapeValues        i32 get_nb_shape_values(str)
    """,
    "VCudaEngine": """
        getNbLayers                     i32 num_layers
        serialize                       object serialize()
        createExecutionContext          object create_execution_context(enum:ExecutionContextAllocationStrategy)
        createExecutionContextWithoutDeviceMemory object create_execution_context_without_device_memory()
        getDeviceMemorySize             u64 device_memory_size
        getDeviceMemorySizeV2           i64 device_memory_size_v2
        getDeviceMemorySizeForProfileV2 i64 get_device_memory_size_for_profile_v2(i32)
        isRefittable                    bool refittable
        getName                         str name
        getNbOptimizationProfiles       i32 num_optimization_profiles
        getProfilingVerbosity           enum:ProfilingVerbosity profiling_verbosity
        createEngineInspector           object create_engine_inspector()
        getTensorShape                  dims get_tensor_shape(str)
        getTensorDataType               enum:DataType get_tensor_dtype(str)
        getTensorLocation               enum:TensorLocation get_tensor_location(str)
        isShapeInferenceIO              bool is_shape_inference_io(str)
        getTensorIOMode                 enum:TensorIOMode get_tensor_mode(str)
        getTensorFormat                 enum:TensorFormat get_tensor_format(str)
        getTensorFormatV2               enum:TensorFormat get_tensor_format(str, i32)
        getProfileShape                 dims get_profile_shape(str, i32, i32)
        getNbIOTensors                  i32 num_io_tensors
        getIOTensorName                 str get_tensor_name(i32)
        getNbAuxStreams                 i32 num_aux_streams
    """,
    "VExecutionContext": """
        getEngine                       object bound_engine
        getOptimizationProfile          i32 active_optimization_profile
        setOptimizationProfile          bool active_optimization_profile = i32
        setOptimizationProfileAsync     bool set_optimization_profile_async(i32, ptr)
        setDeviceMemory                 void device_memory = ptr
        setDeviceMemoryV2               void set_device_memory(ptr, i64)
        setInputShape                   bool set_input_shape(str, dims)
        getTensorShape                  dims get_tensor_shape(str)
        setTensorAddress                bool set_tensor_address(str, ptr)
        getTensorAddress                ptr get_tensor_address(str)
        setOutputAllocator              bool set_output_allocator(str, object:IOutputAllocator)
        enqueueV3                       bool execute_async_v3(ptr)
        setDebugSync                    void debug_sync = bool
        getDebugSync                    bool debug_sync
        setEnqueueEmitsProfile          void enqueue_emits_profile = bool
        getEnqueueEmitsProfile          bool enqueue_emits_profile
        setNvtxVerbosity                bool nvtx_verbosity = enum:ProfilingVerbosity
        getNvtxVerbosity                enum:ProfilingVerbosity nvtx_verbosity
        setName                         void name = str
        getName                         str name
    """,
    "VEngineInspector": """
        getLayerInformation     str get_layer_information(i32, enum:LayerInformationFormat)
        getEngineInformation    str get_engine_information(enum:LayerInformationFormat)
    """,
    "VTensor": """
        getName             str name
        setName             void name = str
        getDimensions       dims shape
        setDimensions       void shape = dims
        getType             enum:DataType dtype
        setType             void dtype = enum:DataType
        isNetworkInput      bool is_network_input
        isNetworkOutput     bool is_network_output
        isShapeTensor       bool is_shape_tensor
        isExecutionTensor   bool is_execution_tensor
    """,
    "VLayer": """
        getType             enum:LayerType type
        getName             str name
        setName             void name = str
        getNbInputs         i32 num_inputs
        getNbOutputs        i32 num_outputs
        setPrecision        void precision = enum:DataType
        getPrecision        enum:DataType precision
        getOutputType       enum:DataType get_output_type(i32)
        getMetadata         str metadata
    """,
    "VNetworkDefinition": """
        getNbLayers     i32 num_layers
        getLayer        object get_layer(i32)
        getNbInputs     i32 num_inputs
        getInput        object get_input(i32)
        getNbOutputs    i32 num_outputs
        getOutput       object get_output(i32)
        getName         str name
        setName         void name = str
        getFlags        u32 flags
        getFlag         bool get_flag(enum:NetworkDefinitionCreationFlag)
    """,
    "VTimingCache": """
        serialize   object serialize()
        combine     bool combine(object, bool)
        reset       bool reset()
    """,
    "VBuilderConfig": """
        setFlags                        void flags = u32
        getFlags                        u32 flags
        setFlag                         void set_flag(enum:BuilderFlag)
        clearFlag                       void clear_flag(enum:BuilderFlag)
        getFlag                         bool get_flag(enum:BuilderFlag)
        setDeviceType                   void set_device_type(object, enum:DeviceType)
        canRunOnDLA                     bool can_run_on_DLA(object)
        setDLACore                      void DLA_core = i32
        getDLACore                      i32 DLA_core
        setDefaultDeviceType            void default_device_type = enum:DeviceType
        getDefaultDeviceType            enum:DeviceType default_device_type
        setEngineCapability             void engine_capability = enum:EngineCapability
        getEngineCapability             enum:EngineCapability engine_capability
        addOptimizationProfile          i32 add_optimization_profile(object)
        getNbOptimizationProfiles       i32 num_optimization_profiles
        setProfilingVerbosity           void profiling_verbosity = enum:ProfilingVerbosity
        getProfilingVerbosity           enum:ProfilingVerbosity profiling_verbosity
        setAvgTimingIterations          void avg_timing_iterations = i32
        getAvgTimingIterations          i32 avg_timing_iterations
        setTacticSources                bool set_tactic_sources(u32)
        getTacticSources                u32 get_tactic_sources()
        createTimingCache               object create_timing_cache(blob)
        setTimingCache                  bool set_timing_cache(object, bool)
        getTimingCache                  object get_timing_cache()
        setMemoryPoolLimit              void set_memory_pool_limit(enum:MemoryPoolType, u64)
        getMemoryPoolLimit              u64 get_memory_pool_limit(enum:MemoryPoolType)
        setPreviewFeature               void set_preview_feature(enum:PreviewFeature, bool)
        getPreviewFeature               bool get_preview_feature(enum:PreviewFeature)
        setBuilderOptimizationLevel     void builder_optimization_level = i32
        getBuilderOptimizationLevel     i32 builder_optimization_level
        setHardwareCompatibilityLevel   void hardware_compatibility_level = enum:HardwareCompatibilityLevel
        getHardwareCompatibilityLevel   enum:HardwareCompatibilityLevel hardware_compatibility_level
        setMaxAuxStreams                bool max_aux_streams = i32
        getMaxAuxStreams                i32 max_aux_streams
        setProgressMonitor              void progress_monitor = object:IProgressMonitor
        setMaxNbTactics                 void max_num_tactics = i32
        getMaxNbTactics                 i32 max_num_tactics
        reset                           void reset()
    """,
    "VBuilder": """
        platformHasFastFp16         bool platform_has_fast_fp16
        platformHasFastInt8         bool platform_has_fast_int8
        platformHasTf32             bool platform_has_tf32
        getMaxDLABatchSize          i32 max_DLA_batch_size
        getNbDLACores               i32 num_DLA_cores
        setMaxThreads               bool max_threads = i32
        getMaxThreads               i32 max_threads
        createBuilderConfig         object create_builder_config()
        createNetworkV2             object create_network(u32)
        createOptimizationProfile   object create_optimization_profile()
        buildSerializedNetwork      object build_serialized_network(object, object)
        isNetworkSupported          bool is_network_supported(object, object)
        reset                       void reset()
    """,
    "IParser": """
        parse               bool parse(blob, str)
        parseFromFile       bool parse_from_file(str)
        supportsOperator    bool supports_operator(str)
        getNbErrors         i32 num_errors
        getError            object get_error(i32)
        clearErrors         void clear_errors()
        setFlags            void flags = u32
        getFlags            u32 flags
        setFlag             void set_flag(enum:OnnxParserFlag)
        clearFlag           void clear_flag(enum:OnnxParserFlag)
        getFlag             bool get_flag(enum:OnnxParserFlag)
    """,
    "IParserError": """
        code            enum:ErrorCode code()
        desc            str desc()
        file            str file()
        line            i32 line()
        func            str func()
        node            i32 node()
        nodeName        str node_name()
        nodeOperator    str node_operator()
    """,
}
# The class that Python sees -> the class whose methods the library implements behind it.
IMPLEMENTED = {
    "IHostMemory": "VHostMemory",
    "Runtime": "VRuntime",
    "IOptimizationProfile": "VOptimizationProfile",
    "ICudaEngine": "VCudaEngine",
    "IExecutionContext": "VExecutionContext",
    "EngineInspector": "VEngineInspector",
    "ITensor": "VTensor",
    "ILayer": "VLayer",
    "INetworkDefinition": "VNetworkDefinition",
    "ITimingCache": "VTimingCache",
    "IBuilderConfig": "VBuilderConfig",
    "Builder": "VBuilder",
    "OnnxParser": "IParser",
    "ParserError": "IParserError",
}
_LINE = re.compile(r"(\w+)\s+([\w:]+) (\w+)(?: = ([\w:]+)|\((.*)\))?")


@dataclass(frozen=True)
class Signature:
    """One virtual method: ``form`` says whether it calls, sets or reads ``attribute`` of the double."""

    attribute: str
    form: str
    returns: str
    takes: tuple[str, ...]


def signatures(name: str, *, before_10: bool) -> dict[str, Signature]:
    """Return the methods of one class; before TensorRT 10 profiles took dims by value, and contexts no strategy."""
    found = {}
    for line in filter(None, map(str.strip, TEXT[name].splitlines())):
        method, returns, attribute, assigned, called = _LINE.fullmatch(line).groups()  # type: ignore[union-attr]
        form = "set" if assigned else "get" if called is None else "call"
        takes = tuple(filter(None, (assigned or called or "").split(", ")))
        if before_10:
            by_value = name in ("VOptimizationProfile", "VTensor")
            takes = tuple("dims_value" if kind == "dims" and by_value else kind for kind in takes)
            takes = () if method == "createExecutionContext" else takes
        found[method] = Signature(attribute, form, returns, takes)
    return found
