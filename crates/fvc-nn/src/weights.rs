//! [`Weights`]: the values of a network by name, in files of PyTorch's kinds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::backend::Flex;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use fvc_clips::write_atomically;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::optimizer::is_backbone;
use crate::position_grid::resample_positions;
use crate::pytorch_file::read_pytorch;
use crate::{Network, NetworkBackend, NetworkConfig, NetworkError};

/// One named array of f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, the last axis running fastest.
    pub values: Vec<f32>,
}

/// The values of a network under PyTorch's names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// By name.
    pub by_name: BTreeMap<String, Weight>,
}

/// What became of the weights of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightReport {
    /// Names that were taken over.
    pub matched: Vec<String>,
    /// Names of the network that the file lacks: they keep their first values.
    pub missing: Vec<String>,
    /// Names of the file that the network lacks.
    pub unused: Vec<String>,
    /// Names with another shape in the file: name, expected, found.
    pub other_shape: Vec<(String, Vec<usize>, Vec<usize>)>,
}

/// The name of a parameter as PyTorch has it, from the names of modules down to it. The first is the
/// architecture.
pub(crate) fn pytorch_name(path: &[String]) -> String {
    let mut name = path.get(1..).unwrap_or_default().join(".");
    // PyTorch's GRU keeps its layers' weights side by side: gru.weight_ih_l0.
    if let Some((before, after)) = name.split_once("gru.layers.")
        && let Some((number, kind)) = after.split_once('.')
    {
        name = format!("{before}gru.{kind}_l{number}");
    }
    name
}

/// Follows the path through a module.
#[derive(Debug, Default)]
pub(crate) struct ModulePath {
    names: Vec<String>,
}

impl ModulePath {
    pub(crate) fn enter(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    pub(crate) fn exit(&mut self) {
        self.names.pop();
    }

    pub(crate) fn name(&self) -> String {
        pytorch_name(&self.names)
    }
}

struct Collect {
    path: ModulePath,
    weights: Weights,
}

impl<B: Backend> ModuleVisitor<B> for Collect {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let data = param.val().into_data();
        let shape = data.shape.to_vec();
        // A float tensor converts to f32 whatever it is kept in.
        let values = data.convert::<f32>().to_vec().unwrap_or_default();
        self.weights.by_name.insert(self.path.name(), Weight { shape, values });
    }
}

struct Apply<'a> {
    path: ModulePath,
    weights: &'a Weights,
    report: WeightReport,
}

impl<B: Backend> ModuleMapper<B> for Apply<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let name = self.path.name();
        let Some(found) = self.weights.by_name.get(&name) else {
            self.report.missing.push(name);
            return param;
        };
        let shape = param.val().dims().to_vec();
        if shape != found.shape {
            self.report.other_shape.push((name, shape, found.shape.clone()));
            return param;
        }
        self.report.matched.push(name);
        let learns = param.is_require_grad();
        param
            .map(|tensor| {
                let data = TensorData::new(found.values.clone(), shape);
                Tensor::from_data(data, &tensor.device())
            })
            .set_require_grad(learns)
    }
}

/// Reads weights that a network of this configuration shall begin from, and says what would become of them:
/// what a training does first, for whoever wants to know before anything else is done.
///
/// # Errors
/// The file cannot be read or is none of weights; it fills no backbone, or matches nothing.
pub fn check_weights(path: &Path, config: &NetworkConfig) -> Result<WeightReport, NetworkError> {
    let weights = Weights::read(path)?.for_network(config);
    let network = config.init::<Flex>(0, &burn::backend::flex::FlexDevice);
    let (_, report) = weights.apply(network);
    report.check().map_err(|error| match error {
        NetworkError::Setting { expected, found, .. } => {
            NetworkError::File { path: path.to_owned(), expected, found }
        }
        other => other,
    })?;
    Ok(report)
}

impl WeightReport {
    /// Weights that fill no backbone, or match nothing, are none of this network: it would begin at random and
    /// be taken for pretrained.
    pub(crate) fn check(&self) -> Result<(), NetworkError> {
        let other = self.other_shape.iter().map(|(name, _, _)| name);
        let lacking: Vec<&str> = self
            .missing
            .iter()
            .chain(other)
            .filter(|name| is_backbone(name))
            .map(String::as_str)
            .collect();
        if !lacking.is_empty() {
            return Err(NetworkError::setting(
                "weights",
                "all of the backbone's weights",
                format!("{} missing or of another shape ({})", lacking.len(), some(&lacking)),
            ));
        }
        if self.matched.is_empty() {
            let named: Vec<&str> = self.unused.iter().map(String::as_str).collect();
            return Err(NetworkError::setting(
                "weights",
                "some of the network's names",
                format!("none among {} ({})", named.len(), some(&named)),
            ));
        }
        Ok(())
    }
}

/// The first names, and whether there are more.
fn some(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

impl Weights {
    /// The values of a network.
    pub fn of<B: NetworkBackend>(network: &Network<B>) -> Self {
        let mut collect = Collect { path: ModulePath::default(), weights: Self::default() };
        network.visit(&mut collect);
        collect.weights
    }

    /// The network with these values where name and shape agree, and what became of them.
    pub fn apply<B: NetworkBackend>(&self, network: Network<B>) -> (Network<B>, WeightReport) {
        let mut apply =
            Apply { path: ModulePath::default(), weights: self, report: WeightReport::default() };
        let network = network.map(&mut apply);
        let mut report = apply.report;
        let known = |name: &&String| {
            !report.matched.contains(name)
                && !report.other_shape.iter().any(|(own, _, _)| own == *name)
        };
        report.unused = self.by_name.keys().filter(known).cloned().collect();
        (network, report)
    }

    /// Names changed by `rename`; what it gives none for is left out.
    #[must_use]
    pub fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let by_name = self
            .by_name
            .into_iter()
            .filter_map(|(name, weight)| Some((rename(&name)?, weight)))
            .collect();
        Self { by_name }
    }

    /// The values as a network of this configuration wants them: a vision transformer of timm's (names such
    /// as `cls_token` and `blocks.0.norm1.weight`) becomes its backbone, without timm's classes (`head`),
    /// and position embeddings are brought to its grid. Whatever has other names stays as it is.
    #[must_use]
    pub fn for_network(self, config: &NetworkConfig) -> Self {
        let Some(backbone) = config.backbone() else { return self };
        let mut weights = if self.by_name.contains_key("cls_token") {
            self.renamed(|name| (!name.starts_with("head.")).then(|| format!("backbone.{name}")))
        } else {
            self
        };
        if let Some(embeddings) = weights.by_name.get_mut("backbone.pos_embed") {
            resample_positions(embeddings, backbone.side());
        }
        weights
    }

    /// How many numbers there are.
    pub fn count(&self) -> usize {
        self.by_name.values().map(|weight| weight.values.len()).sum()
    }

    /// Reads `.safetensors`, or `.pt` and `.pth` as PyTorch saves them (numbers only: nothing in them is
    /// run).
    ///
    /// # Errors
    /// The file cannot be read or is none of these.
    pub fn read(path: &Path) -> Result<Self, NetworkError> {
        let wrong = |expected: &str, found: String| NetworkError::File {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        match kind.to_ascii_lowercase().as_str() {
            "safetensors" => {
                let bytes = fs::read(path)
                    .map_err(|source| NetworkError::Io { path: path.to_owned(), source })?;
                Ok(Self::from_safetensors(&bytes, path)?.0)
            }
            "pt" | "pth" | "bin" => Ok(Self { by_name: read_pytorch(path)? }),
            other => Err(wrong(
                "a file of weights that ends in .safetensors, .pt or .pth",
                format!("{other:?}"),
            )),
        }
    }

    /// Reads the bytes of a safetensors file, and the text `fvc` of its head, if any.
    pub(crate) fn from_safetensors(
        bytes: &[u8],
        path: &Path,
    ) -> Result<(Self, Option<String>), NetworkError> {
        let wrong = |found: String| NetworkError::File {
            path: path.to_owned(),
            expected: "a safetensors file".to_owned(),
            found,
        };
        let (_, head) =
            SafeTensors::read_metadata(bytes).map_err(|error| wrong(error.to_string()))?;
        let text = head.metadata().as_ref().and_then(|own| own.get("fvc").cloned());
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
        let mut by_name = BTreeMap::new();
        for (name, view) in tensors.iter() {
            let Some(values) = floats(&view) else { continue };
            by_name.insert(name.to_owned(), Weight { shape: view.shape().to_vec(), values });
        }
        Ok((Self { by_name }, text))
    }

    /// The bytes of a safetensors file with a text in its head.
    ///
    /// # Errors
    /// A weight has not as many values as its shape says.
    pub(crate) fn to_safetensors(&self, text: &str) -> Result<Vec<u8>, NetworkError> {
        let internal = |error: &dyn ToString| NetworkError::Internal { what: error.to_string() };
        let mut bytes: Vec<(&String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, weight) in &self.by_name {
            let raw = weight.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            bytes.push((name, weight.shape.clone(), raw));
        }
        let mut views = Vec::with_capacity(bytes.len());
        for (name, shape, raw) in &bytes {
            let view = TensorView::new(Dtype::F32, shape.clone(), raw)
                .map_err(|error| internal(&error))?;
            views.push((name.as_str(), view));
        }
        let head = std::collections::HashMap::from([("fvc".to_owned(), text.to_owned())]);
        safetensors::serialize(views, Some(head)).map_err(|error| internal(&error))
    }

    /// Writes a safetensors file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path, text: &str) -> Result<(), NetworkError> {
        let bytes = self.to_safetensors(text)?;
        write_atomically(path, &bytes)
            .map_err(|source| NetworkError::Io { path: path.to_owned(), source })
    }
}

/// The values of a float tensor as f32; none for other kinds.
fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = view.data();
    let halves = || data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    Some(match view.dtype() {
        Dtype::F32 => data
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect(),
        Dtype::F16 => halves().map(|bits| half::f16::from_bits(bits).to_f32()).collect(),
        Dtype::BF16 => halves().map(|bits| half::bf16::from_bits(bits).to_f32()).collect(),
        Dtype::F64 => data
            .chunks_exact(8)
            .map(|eight| {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(eight);
                f64::from_le_bytes(bytes) as f32
            })
            .collect(),
        _ => return None,
    })
}
