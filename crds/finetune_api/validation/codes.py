"""Codes of findings: stable, and each with its meaning. `docs/reference/findings.md` prints them."""

from finetune_api.documented import DocumentedStr


class Code(DocumentedStr):
    """What kind of thing a finding is about."""

    UNKNOWN_FIELD = "UnknownField", "The API has no such field."
    MISSING_FIELD = "MissingField", "A field that is needed is absent."
    WRONG_TYPE = "WrongType", "The value has another type than the field."
    NOT_ALLOWED = "NotAllowed", "The value is not one of the field's values."
    OUT_OF_RANGE = "OutOfRange", "A number, text or list is too small, too large, too short or too long."
    MALFORMED = "Malformed", "The text does not have the form that the field asks for."
    DUPLICATE = "Duplicate", "Two items of a list have the same key."
    NOT_YET_SUPPORTED = "NotYetSupported", "The API has it, but this version can't do it yet."
    UNKNOWN_PRESET = "UnknownPreset", "There is no preset of that name."
    INVALID_PRESET = "InvalidPreset", "The FineTunePreset that the job names is none."
    PRESET_OVER_DEFAULT = (
        "PresetOverDefault",
        "The preset's values count where nothing tells whether the job's author wrote the default.",
    )
    INCOMPLETE_PRESET = "IncompletePreset", "A job that adds nothing to the preset would be refused."
    INVALID_NAME = "InvalidName", "The job's name can't be used for its pods and Services."
    NOT_EXACTLY_ONE = "NotExactlyOne", "Of several fields, exactly one must be set."
    CONFLICT = "Conflict", "Two fields contradict each other."
    REQUIRES = "Requires", "One setting needs another that is not there."
    UNSAFE_PATH = "UnsafePath", "A path is not of the kind that is allowed there, or leads out of its volume."
    RESERVED = "Reserved", "A name or path belongs to the product."
    INVALID_ARCHITECTURE = "InvalidArchitecture", "The numbers of model.config don't fit together."
    SEQUENCE_TOO_LONG = "SequenceTooLong", "Sequences are longer than the model can read."
    FORMAT_STAGE_MISMATCH = "FormatStageMismatch", "The data's format does not suit the training stage."
    QUANTIZATION_CONFLICT = "QuantizationConflict", "The method can't train on a base quantized in this way."
    WITHOUT_EFFECT = "WithoutEffect", "A setting that nothing reads beside the others."
    UNREACHED_EXPERTS = "UnreachedExperts", "Experts that are one parameter stay as they are."
    QLORA_WITHOUT_QUANTIZATION = "QloraWithoutQuantization", "qlora on a base that is not in 4 bit."
    OFFLOAD_OPTIMIZER = "OffloadOptimizer", "DeepSpeed would quietly use another optimizer under offload."
    OPTIMIZER_CONFLICT = "OptimizerConflict", "The optimizer does not work with another setting."
    PRECISION_DEVICE_MISMATCH = "PrecisionDeviceMismatch", "The device can't compute in this precision."
    DEEPSPEED_CONFLICT = "DeepSpeedConflict", "The raw DeepSpeed configuration contradicts the spec."
    INVALID_PATTERN = "InvalidPattern", "Not a regular expression."
    SMALL_EFFECTIVE_BATCH = "SmallEffectiveBatch", "One sequence per optimizer step makes gradients noisy."
    HIGH_LEARNING_RATE = "HighLearningRate", "A learning rate over 1e-3 makes many runs unstable."
    REMOTE_CODE = "RemoteCode", "Code from the model's repository will run."
    RANDOM_BASE = "RandomBase", "Adapters are trained on a model whose weights are random."
    SHARED_VOLUME = "SharedVolume", "Pods on several nodes may not be able to mount the volume."
    NO_CHECKPOINTS = "NoCheckpoints", "No checkpoint is written before the end."
    PLAIN_SECRET = "PlainSecret", "A value that looks like a secret stands in the manifest."
    LOCAL_PROVIDER = "LocalProvider", "The job trains on this machine; others may be faster."
    NO_TRACKER = "NoTracker", "No experiment tracker is named."
    MISSING_API_KEY = "MissingApiKey", "A tracker wants a key, and none is named."
    NO_CURVES = "NoCurves", "No tracker of the job shows curves of loss."
    FILE_STORE = "FileStore", "A tracker's url is a directory or a database, not a server."
    NO_EVALUATION = "NoEvaluation", "Records are repeated and nothing is held out to see overfitting."
    NO_WARMUP = "NoWarmup", "The run starts at the full learning rate."
    NO_GRADIENT_CLIPPING = "NoGradientClipping", "One bad batch can ruin the run."
    HIGH_FULL_LEARNING_RATE = "HighFullLearningRate", "A rate for adapters on all weights of a trained model."
    MANY_EPOCHS = "ManyEpochs", "So many passes that the model learns the records by heart."
    CONSTANT_RATE = "ConstantRate", "A long run whose learning rate never decays."
    SCHEDULED_SCHEDULE_FREE = (
        "ScheduledScheduleFree",
        "A schedule under an optimizer that replaces schedules.",
    )
    UNSTABLE_PRECISION = "UnstablePrecision", "fp16 overflows where bf16 does not."
    SLOW_PRECISION = "SlowPrecision", "fp32 on an accelerator."
    HIGH_ADAPTER_SCALE = "HighAdapterScale", "The adapter's output is multiplied by a large number."
    SHORT_TIMEOUT = "ShortTimeout", "Ranks give up on one another while one still prepares the data."
    NO_MASTER_WEIGHTS = "NoMasterWeights", "Trained weights are held in 16 bit, without a copy in fp32."
    DEVICE_MISMATCH = "DeviceMismatch", "The device does not have this attention or these kernels."
    PACKING_ATTENTION = "PackingAttention", "Packed records may see one another with this attention."
    QUANTIZED_ZERO_STAGE_THREE = (
        "QuantizedZero3",
        "Each rank loads a quantized model whole before ZeRO-3 shares it out.",
    )
    RARE_CHECKPOINTS = "RareCheckpoints", "A failure loses many steps."
    FREQUENT_CHECKPOINTS = "FrequentCheckpoints", "The ranks mostly wait for the disk."
    METRIC_DIRECTION = "MetricDirection", "The worst value of the metric would be taken for the best."
    BEST_BETWEEN_CHECKPOINTS = "BestBetweenCheckpoints", "The best evaluation may have no checkpoint."
    OUTSIDE_VOLUMES = "OutsideVolumes", "A path is inside no volume of the job, so the image must hold it."
    DOES_NOT_FIT = "DoesNotFit", "The job can't fit into the memory of the named accelerator."
    NO_NODE_FITS = "NoNodeFits", "The job can't fit into the memory of any accelerator that the nodes have."
    HOST_MEMORY = "HostMemory", "The pods' own memory can't hold what of the model stands there."
    MAY_NOT_FIT = "MayNotFit", "The job may not fit into the memory of the named accelerator."


class FileCode(DocumentedStr):
    """Why a file is no manifest, so that nothing can be said of the jobs in it; only the command line reads
    files."""

    NOT_FOUND = "NotFound", "There is no such file."
    IS_DIRECTORY = "IsDirectory", "A directory was named, not a file."
    UNREADABLE = "Unreadable", "The file can't be read."
    TOO_LARGE = "TooLarge", "The file is larger than manifests are."
    NOT_UTF8 = "NotUtf8", "The bytes are no text in UTF-8, or in UTF-16 with its mark."
    CONTROL_CHARACTER = "ControlCharacter", "A character that YAML or JSON does not allow."
    TAB = "Tab", "A tab stands where YAML wants spaces."
    SYNTAX = "Syntax", "The text is no YAML, or has a tag whose values JSON does not have."
    EMPTY = "Empty", "There is nothing in the file."
    EMPTY_LIST = "EmptyList", "There is nothing in the list of objects."
    DUPLICATE_KEY = "DuplicateKey", "A mapping has the same key twice."
    KEY_NOT_TEXT = "KeyNotText", "A key is a number, a boolean, null, a list or a mapping."
    INVALID_VALUE = "InvalidValue", "A value is not of the type that its tag says."
    NOT_FINITE = "NotFinite", "A number that JSON can't hold: infinite, or none."
    TOO_DEEP = "TooDeep", "Lists and mappings are nested too deep, maybe by aliases."
    ALIAS_EXPLOSION = "AliasExplosion", "Aliases expand to very many values."
    RECURSIVE_ALIAS = "RecursiveAlias", "An alias contains itself."
    NOT_AN_OBJECT = "NotAnObject", "A document is no mapping, so no Kubernetes object."
    NO_KIND = "NoKind", "apiVersion or kind is missing, or no text."
    WRONG_KIND = "WrongKind", "The API group has no such kind."
    WRONG_VERSION = "WrongVersion", "Our kinds have another apiVersion."
    NO_FINE_TUNE_JOB = "NoFineTuneJob", "The file holds neither a FineTuneJob nor a FineTunePreset."
    NO_NAME = "NoName", "A ConfigMap has no metadata.name."
    DUPLICATE_OBJECT = "DuplicateObject", "Two objects of a kind have the same name and namespace."
    INVALID_CONFIG_MAP = "InvalidConfigMap", "The data of a ConfigMap are not all text."
