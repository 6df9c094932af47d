//! [`NetworkSettings`]: what the user fixes of a network and its training, by name.

use std::path::PathBuf;

use fvc_learn::{ModelKind, ParameterValue, Parameters};
use serde::{Deserialize, Serialize};

use crate::{
    ClassBalance, Device, Devices, LossKind, NaiveCnnConfig, NetworkConfig, NetworkError,
    Precision, RANK_PATIENCE, StopMetric, TrainerConfig, VariableArCnnConfig,
    VisionTransformerConfig, VitGruConfig, VitTransformerConfig,
};

/// What a network is trained with where nothing is named: one row a model.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    kind: ModelKind,
    /// Clips in memory at once.
    batch: usize,
    /// Batches that make one step.
    accumulation: usize,
    /// Frames of an excerpt.
    frames: usize,
    /// Threads that read batches.
    threads: usize,
    epochs: u64,
    learning_rate: f64,
    /// Whether its recipe means a backbone that was trained before.
    pretrained: bool,
}

const ROWS: [Row; 4] = [
    Row {
        kind: ModelKind::VariableArCnn,
        batch: 2,
        accumulation: 8,
        frames: 16,
        threads: 2,
        epochs: 20,
        learning_rate: 5e-4,
        pretrained: false,
    },
    Row {
        kind: ModelKind::NaiveCnn,
        batch: 4,
        accumulation: 4,
        frames: 16,
        threads: 2,
        epochs: 25,
        learning_rate: 5e-4,
        pretrained: false,
    },
    Row {
        kind: ModelKind::VitGru,
        batch: 2,
        accumulation: 16,
        frames: 16,
        threads: 2,
        epochs: 20,
        learning_rate: 5e-4,
        pretrained: true,
    },
    Row {
        kind: ModelKind::VitTransformer,
        batch: 2,
        accumulation: 16,
        frames: 16,
        threads: 2,
        epochs: 20,
        learning_rate: 5e-4,
        pretrained: true,
    },
];

/// The parameters that every network has, with what they mean.
pub const PARAMETERS: [(&str, &str); 40] = [
    ("configuration", "reference, or small: for processors"),
    ("size", "which of the clip store's sizes it learns from; the first where none is named"),
    ("stem_stride", "variable_ar_cnn: pixels from one position of the stem to the next, 1 to 4"),
    ("dropout", "share of features that training drops, 0 to 0.9"),
    ("positions", "vit_transformer: whether frames are told their place"),
    ("batch", "clips in memory at once"),
    ("accumulation", "batches whose gradients make one step"),
    ("frames", "frames of an excerpt"),
    ("loader.threads", "threads that read batches"),
    ("loader.prefetch", "batches read ahead"),
    ("loader.pinned", "page-locked memory on the way to a device"),
    ("epochs", "epochs at most"),
    ("warmup_epochs", "epochs of linear warm-up"),
    ("last_share", "what is left of the learning rates at the end"),
    ("learning_rate", "of all but the backbone"),
    ("backbone_learning_rate", "of the backbone"),
    ("weight_decay", "of weights, not of norms and biases"),
    ("clip_norm", "the longest gradient; 0: any"),
    ("loss", "binary_cross_entropy or focal"),
    ("focal_gamma", "exponent of the focal loss"),
    (
        "focal_alpha",
        "what the focal loss weighs fakes by, real ones by 1 less it; both by 1 where none",
    ),
    ("label_smoothing", "share of each label given to the other class"),
    ("class_balance", "sampler, weights or none"),
    ("patience", "epochs without gain that end training"),
    ("stop_metric", "log_loss, roc_auc or balanced_accuracy"),
    ("unfreeze_every", "epochs after which one more block of the backbone learns; 0: all at once"),
    ("precision", "auto, f32, bf16 or f16"),
    ("engine", "fast, or portable: Burn's operators"),
    ("block_checkpointing", "run each block twice, for less memory"),
    ("checkpoint_steps", "steps between two checkpoints; 0: every two minutes"),
    ("weights", "a file of weights to begin from (.safetensors, .pt, .pth)"),
    ("random_backbone", "begin a backbone at random that is meant to be pretrained"),
    ("device", "cpu, or cuda:N in builds with it"),
    ("devices", "several with commas in place of device: each trains a replica, as one rank"),
    ("rank_patience", "seconds that one rank waits for another, 1800 where none are named"),
    (
        "tensor_parallel",
        "vit_*: ranks that share each replica, a part of every block each; 1: none",
    ),
    ("memory", "MiB that a training may take; 0: as much as there is"),
    ("variants", "whether variants are learnt from beside the originals"),
    ("depth", "vit_*: blocks of the backbone"),
    ("width", "vit_*: width of the backbone's tokens"),
];

/// What decides a network and its training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSettings {
    /// The network.
    pub network: NetworkConfig,
    /// How it is trained.
    pub trainer: TrainerConfig,
    /// The size of its clips, by name; the store's first where none.
    pub size: Option<String>,
    /// Weights to begin from.
    pub weights: Option<PathBuf>,
    /// Whether a backbone that is meant to be pretrained begins at random.
    pub random_backbone: bool,
    /// Where it is computed: a rank a device.
    pub devices: Devices,
    /// Seconds after which a rank that does not come is given up.
    pub rank_patience: u64,
    /// Ranks that share each replica of the network.
    pub tensor_parallel: usize,
    /// MiB that a training may take; 0: as much as there is.
    pub memory_mib: u64,
    /// Whether variants are learnt from.
    pub variants: bool,
}

/// Takes parameters one by one.
struct Take<'a>(&'a Parameters);

impl Take<'_> {
    fn number(&self, key: &str, default: f64) -> Result<f64, NetworkError> {
        match self.0.get(key) {
            None => Ok(default),
            Some(ParameterValue::Number(value)) if value.is_finite() => Ok(*value),
            Some(other) => Err(NetworkError::setting(key, "a number", other)),
        }
    }

    fn count(&self, key: &str, default: u64) -> Result<u64, NetworkError> {
        let value = self.number(key, default as f64)?;
        if value.fract() == 0.0 && (0.0..=1e12).contains(&value) {
            Ok(value as u64)
        } else {
            Err(NetworkError::setting(key, "a whole number", value))
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, NetworkError> {
        match self.0.get(key) {
            None => Ok(default),
            Some(ParameterValue::Flag(value)) => Ok(*value),
            Some(other) => Err(NetworkError::setting(key, "true or false", other)),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&str>, NetworkError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(ParameterValue::Text(value)) => Ok(Some(value)),
            Some(other) => Err(NetworkError::setting(key, "a text", other)),
        }
    }

    /// One of some words; the first where none is given.
    fn word<T: Copy>(&self, key: &str, words: &[(&str, T)], default: T) -> Result<T, NetworkError> {
        let Some(text) = self.text(key)? else { return Ok(default) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            NetworkError::setting(key, &known.join(", "), text)
        })
    }
}

/// The precision that `auto` means here: bf16 where the processor multiplies it.
fn automatic() -> Precision {
    if fvc_kernels::bf16_is_fast() { Precision::Bf16 } else { Precision::F32 }
}

impl NetworkSettings {
    /// From parameters by name; what is not named has the default of the model's row. `seed` drives first
    /// values, order and dropout.
    ///
    /// # Errors
    /// An unknown name, a value out of range, one that has no effect on this model, or a recipe that means
    /// pretrained weights without any.
    pub fn of(kind: ModelKind, parameters: &Parameters, seed: u64) -> Result<Self, NetworkError> {
        let take = Take(parameters);
        let known = |name: &String| PARAMETERS.iter().any(|(own, _)| own == name);
        if let Some(unknown) = parameters.keys().find(|name| !known(name)) {
            let names: Vec<&str> = PARAMETERS.iter().map(|(name, _)| *name).collect();
            return Err(NetworkError::setting(
                &format!("train.parameters.{kind}"),
                &names.join(", "),
                fvc_learn::with_nearest(unknown, &names),
            ));
        }
        let Some(row) = ROWS.iter().find(|row| row.kind == kind) else {
            return Err(NetworkError::setting("model", "a network", kind.name()));
        };
        let is_vit = matches!(kind, ModelKind::VitGru | ModelKind::VitTransformer);
        for (key, has_effect) in [
            ("stem_stride", kind == ModelKind::VariableArCnn),
            ("positions", kind == ModelKind::VitTransformer),
            ("backbone_learning_rate", is_vit),
            ("unfreeze_every", is_vit),
            ("random_backbone", is_vit),
            ("depth", is_vit),
            ("width", is_vit),
            ("tensor_parallel", is_vit),
        ] {
            if parameters.contains_key(key) && !has_effect {
                return Err(NetworkError::setting(key, &format!("nothing for {kind}"), "a value"));
            }
        }
        let small = take.word("configuration", &[("reference", false), ("small", true)], false)?;
        let network = network_of(kind, &take, small)?;
        let weights = take.text("weights")?.map(PathBuf::from);
        let random_backbone = take.flag("random_backbone", false)?;
        if row.pretrained && !small && weights.is_none() && !random_backbone {
            return Err(NetworkError::setting(
                &format!("weights of {kind}"),
                "a file of pretrained weights of vit_base_patch16_224 (timm, ImageNet), as \
                 .safetensors, .pt or .pth, by --weights; or --random-backbone, to begin at random; \
                 or configuration = \"small\"",
                "none",
            ));
        }
        if random_backbone && small {
            let expected =
                "nothing beside configuration = \"small\", whose backbone always begins at random";
            return Err(NetworkError::setting("random_backbone", expected, "true"));
        }
        if random_backbone && let Some(path) = &weights {
            let expected =
                "nothing where weights are named: a backbone begins with them or at random";
            let found = format!("both, with {}", path.display());
            return Err(NetworkError::setting("random_backbone", expected, found));
        }
        if let Some(path) = &weights
            && !path.is_file()
        {
            return Err(NetworkError::File {
                path: path.clone(),
                expected: "a file of weights".to_owned(),
                found: "none".to_owned(),
            });
        }
        let devices = devices_of(&take)?;
        devices.check()?;
        if devices.are_processors() && parameters.contains_key("loader.pinned") {
            let expected = "nothing: memory is page-locked on the way to a device only";
            return Err(NetworkError::setting("loader.pinned", expected, "a value"));
        }
        let rank_patience = take.count("rank_patience", RANK_PATIENCE)?;
        if rank_patience == 0 {
            return Err(NetworkError::setting("rank_patience", "1 at least", rank_patience));
        }
        // Processes that MPI started are known when they run only.
        let alone = devices.count() == 1 && !cfg!(feature = "mpi");
        if alone && parameters.contains_key("rank_patience") {
            let expected = "nothing where there is one device: no rank waits for another";
            return Err(NetworkError::setting("rank_patience", expected, "a value"));
        }
        let tensor_parallel = take.count("tensor_parallel", 1)? as usize;
        // How many processes MPI started is known when they train.
        let ranks = if cfg!(feature = "mpi") && devices.count() == 1 {
            tensor_parallel.max(1)
        } else {
            devices.count()
        };
        network.check_tensor_parallel(tensor_parallel, ranks)?;
        let trainer = trainer_of(*row, &take, seed, &network, small)?;
        Ok(Self {
            network,
            trainer,
            size: take.text("size")?.map(str::to_owned),
            weights,
            random_backbone,
            devices,
            rank_patience,
            tensor_parallel,
            memory_mib: take.count("memory", 0)?,
            variants: take.flag("variants", true)?,
        })
    }

    /// Every value by name, defaults included, for reports.
    pub fn parameters(&self) -> Parameters {
        let flat = serde_json::to_value(self).unwrap_or_default();
        let mut parameters = Parameters::new();
        flatten("", &flat, &mut parameters);
        parameters
    }
}

/// The devices that are named, one or several; the processor where none is.
fn devices_of(take: &Take<'_>) -> Result<Devices, NetworkError> {
    match (take.text("device")?, take.text("devices")?) {
        (Some(_), Some(several)) => {
            let expected = "nothing where devices are named";
            Err(NetworkError::setting("device", expected, several))
        }
        (None, None) => Ok(Device::Cpu.into()),
        (None, Some(several)) => several.parse(),
        (Some(one), None) => {
            let devices: Devices = one.parse()?;
            if devices.count() > 1 {
                let expected = "one device; several by devices";
                return Err(NetworkError::setting("device", expected, one));
            }
            Ok(devices)
        }
    }
}

/// The leaves of a JSON value, by the names down to them.
fn flatten(name: &str, value: &serde_json::Value, into: &mut Parameters) {
    use serde_json::Value;
    let leaf = match value {
        Value::Null => return,
        Value::Bool(flag) => ParameterValue::Flag(*flag),
        Value::Number(number) => ParameterValue::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => ParameterValue::Text(text.clone()),
        Value::Array(_) => ParameterValue::Text(value.to_string()),
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&name, value, into);
            }
            return;
        }
    };
    into.insert(name.to_owned(), leaf);
}

fn network_of(
    kind: ModelKind,
    take: &Take<'_>,
    small: bool,
) -> Result<NetworkConfig, NetworkError> {
    let dropout = take.number("dropout", 0.5)?;
    if !(0.0..=0.9).contains(&dropout) {
        return Err(NetworkError::setting("dropout", "0 to 0.9", dropout));
    }
    // `heads`: of what reads the backbone's vectors; they share its width, as its own do.
    let backbone = |heads: usize| -> Result<VisionTransformerConfig, NetworkError> {
        let own = if small {
            VisionTransformerConfig::small()
        } else {
            VisionTransformerConfig::default()
        };
        let depth = take.count("depth", own.depth as u64)? as usize;
        let width = take.count("width", own.width as u64)? as usize;
        if !(1..=48).contains(&depth) {
            return Err(NetworkError::setting("depth", "1 to 48", depth));
        }
        let fits = width.is_multiple_of(own.heads) && width.is_multiple_of(heads);
        if width == 0 || width > 4096 || !fits {
            let expected = format!("a multiple of {} and {heads}, at most 4096", own.heads);
            return Err(NetworkError::setting("width", &expected, width));
        }
        Ok(VisionTransformerConfig { width, depth, ..own })
    };
    Ok(match kind {
        ModelKind::NaiveCnn => {
            let own = NaiveCnnConfig { dropout, ..NaiveCnnConfig::default() };
            NetworkConfig::NaiveCnn(if small {
                NaiveCnnConfig { widths: [16, 32, 64], ..own }
            } else {
                own
            })
        }
        ModelKind::VitGru => {
            let own = VitGruConfig { backbone: backbone(1)?, dropout, ..VitGruConfig::default() };
            NetworkConfig::VitGru(if small { VitGruConfig { hidden: 64, ..own } } else { own })
        }
        ModelKind::VitTransformer => {
            let positions = take.flag("positions", true)?;
            let own = VitTransformerConfig::default();
            let own = if small {
                VitTransformerConfig { feed_forward: 192, heads: 4, ..own }
            } else {
                own
            };
            let backbone = backbone(own.heads)?;
            NetworkConfig::VitTransformer(VitTransformerConfig {
                backbone,
                dropout,
                positions,
                ..own
            })
        }
        _ => {
            let stride = take.count("stem_stride", if small { 2 } else { 1 })? as usize;
            if !(1..=4).contains(&stride) {
                return Err(NetworkError::setting("stem_stride", "1 to 4", stride));
            }
            let widths = if small { [16, 32, 64] } else { [32, 64, 128] };
            NetworkConfig::VariableArCnn(VariableArCnnConfig {
                widths,
                stem_stride: [1, stride, stride],
                dropout,
            })
        }
    })
}

fn trainer_of(
    row: Row,
    take: &Take<'_>,
    seed: u64,
    network: &NetworkConfig,
    small: bool,
) -> Result<TrainerConfig, NetworkError> {
    let mut own = TrainerConfig { seed, ..TrainerConfig::default() };
    own.batch = take.count("batch", row.batch as u64)? as usize;
    own.accumulation = take.count("accumulation", row.accumulation as u64)? as usize;
    own.frames = take.count("frames", row.frames as u64)? as usize;
    own.loader.threads = take.count("loader.threads", row.threads as u64)? as usize;
    own.loader.prefetch = take.count("loader.prefetch", own.loader.prefetch as u64)? as usize;
    own.loader.pinned = take.flag("loader.pinned", own.loader.pinned)?;
    own.epochs = take.count("epochs", row.epochs)?;
    // A short training warms up for a tenth of it.
    own.warmup_epochs = take.number("warmup_epochs", 2.0_f64.min(own.epochs as f64 / 10.0))?;
    own.last_share = take.number("last_share", own.last_share)?;
    own.optimizer.head_learning_rate = take.number("learning_rate", row.learning_rate)?;
    // A backbone that was not trained before learns like the rest.
    let of_backbone = if row.pretrained && !small { 5e-6 } else { row.learning_rate };
    own.optimizer.backbone_learning_rate = take.number("backbone_learning_rate", of_backbone)?;
    own.optimizer.weight_decay = take.number("weight_decay", own.optimizer.weight_decay)?;
    own.clip_norm = take.number("clip_norm", own.clip_norm)?;
    own.loss.kind = take.word(
        "loss",
        &[("binary_cross_entropy", LossKind::BinaryCrossEntropy), ("focal", LossKind::Focal)],
        LossKind::BinaryCrossEntropy,
    )?;
    own.loss.focal_gamma = take.number("focal_gamma", own.loss.focal_gamma)?;
    if take.0.contains_key("focal_alpha") {
        own.loss.focal_alpha = Some(take.number("focal_alpha", 0.25)?);
    }
    own.loss.label_smoothing = take.number("label_smoothing", 0.0)?;
    own.class_balance = take.word(
        "class_balance",
        &[
            ("sampler", ClassBalance::Sampler),
            ("weights", ClassBalance::Weights),
            ("none", ClassBalance::None),
        ],
        ClassBalance::Sampler,
    )?;
    own.patience = take.count("patience", own.patience)?;
    let metrics = StopMetric::ALL.map(|metric| (metric.name(), metric));
    own.stop_metric = take.word("stop_metric", &metrics, StopMetric::LogLoss)?;
    own.unfreeze_every = take.count("unfreeze_every", 0)?;
    own.precision = take.word(
        "precision",
        &[
            ("auto", automatic()),
            ("f32", Precision::F32),
            ("bf16", Precision::Bf16),
            ("f16", Precision::F16),
        ],
        automatic(),
    )?;
    own.engine = take.word(
        "engine",
        &[("fast", crate::Engine::Fast), ("portable", crate::Engine::Portable)],
        crate::Engine::Fast,
    )?;
    own.block_checkpointing = take.flag("block_checkpointing", false)?;
    own.checkpoint_steps = take.count("checkpoint_steps", 0)?;
    own.check(network)?;
    Ok(own)
}
