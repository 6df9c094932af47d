//! Files of weights as PyTorch's users have them, and weights of timm's backbones.

use std::path::{Path, PathBuf};

use burn::backend::Flex;
use fvc_nn::{
    NaiveCnnConfig, NetworkConfig, NetworkError, VisionTransformerConfig, VitGruConfig, Weight,
    Weights,
};

use crate::formula;
use crate::pytorch_parity::golden;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn tiny() -> NetworkConfig {
    NetworkConfig::NaiveCnn(NaiveCnnConfig { widths: [2, 3, 4], hidden: 3, dropout: 0.0 })
}

/// A state dict, one inside a checkpoint, and safetensors: all names match, the counters of normalisation
/// layers are left out, and the values are those that were written.
#[test]
fn files_that_pytorch_wrote_are_read() {
    let expected = Weights::of(&formula::network::<Flex>(&tiny()));
    for name in ["tiny.pt", "tiny_wrapped.pth", "tiny.safetensors"] {
        let weights = Weights::read(&file(name)).unwrap();
        assert_eq!(weights, expected, "{name}");
        let fresh = tiny().init::<Flex>(4, &Default::default());
        let (network, report) = weights.apply(fresh);
        assert!(report.missing.is_empty(), "{name}: {report:?}");
        assert!(report.unused.is_empty() && report.other_shape.is_empty(), "{name}: {report:?}");
        assert_eq!(report.matched.len(), expected.by_name.len(), "{name}");
        assert_eq!(Weights::of(&network), expected, "{name}");
    }
}

/// Views that are turned or parts of another tensor, and every float format, are read as PyTorch reads
/// them, in its present files and in those from before version 1.6. Reading them by their storage alone
/// gave the numbers in another order.
#[test]
fn views_and_formats_are_read_as_pytorch_reads_them() {
    type Named<'a> = (&'a str, &'a [usize], &'a [f32]);
    let plain = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let expected: [Named<'_>; 8] = [
        ("bf16", &[2, 3], &plain),
        ("empty", &[0, 4], &[]),
        ("f16", &[2, 3], &plain),
        ("f64", &[2, 3], &plain),
        ("part", &[2, 2], &[1.0, 2.0, 4.0, 5.0]),
        ("plain", &[2, 3], &plain),
        ("scalar", &[], &[3.5]),
        ("turned", &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
    ];
    for name in ["views.pt", "views_legacy.pth"] {
        let weights = Weights::read(&file(name)).unwrap();
        let found: Vec<Named<'_>> = (weights.by_name.iter())
            .map(|(name, own)| (name.as_str(), own.shape.as_slice(), own.values.as_slice()))
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

/// A pickle that would run a function is refused, as bytes of no kind are, and the error says which file.
#[test]
fn a_pickle_with_code_is_refused() {
    let refused = |path: &Path| match Weights::read(path) {
        Err(error @ NetworkError::File { .. }) => {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(error.to_string().contains(&name), "{error}");
        }
        other => panic!("{}: {other:?}", path.display()),
    };
    refused(&file("code.pt"));
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    // `posix.system("true")` in protocol 0, without a zip around it.
    refused(&write("system.pt", b"cposix\nsystem\n(S'true'\ntR."));
    // The same behind the head of an old file of PyTorch.
    refused(&write(
        "legacy.pt",
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.I1001\n.N.cposix\nsystem\n(S'true'\ntR.",
    ));
    // A list that holds itself, and a dict.
    refused(&write("list.pt", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.N.N.]q\0h\0a."));
    refused(&write("empty.pt", b""));
    refused(&write("text.pth", b"weights"));
    refused(&write("text.safetensors", b"weights"));
    refused(&write("weights.onnx", b"weights"));
    let missing = Weights::read(&folder.path().join("missing.pt"));
    assert!(matches!(missing, Err(NetworkError::Io { .. })), "{missing:?}");
}

/// Wherever a file is cut, and whichever of its bytes is changed, reading ends with weights or a typed
/// error, never in a panic; a cut one never gives all weights.
#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["tiny.pt", "tiny_wrapped.pth", "tiny.safetensors", "views.pt", "views_legacy.pth"]
    {
        let bytes = std::fs::read(file(name)).unwrap();
        let path = folder.path().join(name);
        for end in (0..bytes.len()).step_by(61) {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let found = Weights::read(&path);
            assert!(matches!(found, Err(NetworkError::File { .. })), "{name}, {end}: {found:?}");
        }
        for at in (0..bytes.len()).step_by(17) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x55;
            std::fs::write(&path, &changed).unwrap();
            match Weights::read(&path) {
                Ok(_) | Err(NetworkError::File { .. }) => {}
                Err(other) => panic!("{name}, {at}: {other:?}"),
            }
        }
    }
}

fn sequence(side: usize) -> NetworkConfig {
    let backbone =
        VisionTransformerConfig { image: 8 * side, patch: 8, width: 6, depth: 1, heads: 1 };
    NetworkConfig::VitGru(VitGruConfig { backbone, hidden: 4, ..VitGruConfig::default() })
}

/// A backbone with timm's own names becomes the network's: its classes go, and the rest of the network
/// keeps its first values.
#[test]
fn weights_of_timm_become_the_backbone() {
    let config = sequence(4);
    let own = Weights::of(&formula::network::<Flex>(&config));
    let mut bare = own.clone().renamed(|name| name.strip_prefix("backbone.").map(str::to_owned));
    let backbone = bare.by_name.len();
    let head = Weight { shape: vec![10, 6], values: vec![0.0; 60] };
    bare.by_name.insert("head.weight".to_owned(), head);
    bare.by_name.insert("head.bias".to_owned(), Weight { shape: vec![10], values: vec![0.0; 10] });
    let weights = bare.for_network(&config);
    assert!(weights.by_name.iter().all(|(name, weight)| own.by_name[name] == *weight));
    let (_, report) = weights.apply(config.init::<Flex>(1, &Default::default()));
    assert_eq!(report.matched.len(), backbone);
    assert!(report.unused.is_empty() && report.other_shape.is_empty(), "{report:?}");
    assert!(report.missing.iter().all(|name| !name.starts_with("backbone.")), "{report:?}");
    // What already has the network's names stays as it is, its head too.
    assert_eq!(own.clone().for_network(&config), own);
    let tiny_weights = Weights::of(&formula::network::<Flex>(&tiny()));
    assert_eq!(tiny_weights.clone().for_network(&tiny()), tiny_weights);
}

/// Position embeddings of another grid are those that timm makes of them when it loads weights.
#[test]
fn position_embeddings_are_brought_to_the_grid_as_in_timm() {
    for case in golden().positions {
        let tokens = case.side * case.side + 1;
        let shape = vec![1, tokens, 6];
        let values = formula::both_signs(&format!("positions.{}", case.side), tokens * 6, 1.0);
        for name in ["pos_embed", "backbone.pos_embed"] {
            let mut weights = Weights::default();
            let embeddings = Weight { shape: shape.clone(), values: values.clone() };
            weights.by_name.insert(name.to_owned(), embeddings);
            if name == "pos_embed" {
                let class = Weight { shape: vec![1, 1, 6], values: vec![0.0; 6] };
                weights.by_name.insert("cls_token".to_owned(), class);
            }
            let weights = weights.for_network(&sequence(case.new));
            let found = &weights.by_name["backbone.pos_embed"];
            assert_eq!(found.shape, [1, case.new * case.new + 1, 6]);
            for (own, expected) in found.values.iter().zip(&case.values) {
                assert!((f64::from(*own) - expected).abs() < 1e-5, "{own} {expected}");
            }
        }
    }
}

/// Embeddings of no square grid, or with fewer values than their shape says, are left to the report.
#[test]
fn embeddings_of_no_square_grid_stay_as_they_are() {
    for (shape, count) in
        [(vec![1, 18, 6], 108), (vec![1, 10, 6], 59), (vec![10, 6], 60), (vec![1, 0, 6], 0)]
    {
        let mut weights = Weights::default();
        let embeddings = Weight { shape, values: vec![0.5; count] };
        weights.by_name.insert("backbone.pos_embed".to_owned(), embeddings);
        assert_eq!(weights.clone().for_network(&sequence(4)), weights);
    }
}
