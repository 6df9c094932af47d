//! No size of a clip and no setting ends the process: networks take it, or it is refused by name.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use fvc_learn::{ModelKind, ParameterValue, Parameters};
use fvc_nn::{
    Activation, Context, CounterRandom, Engine, Extents, Loss, NamedGradients, Network,
    NetworkConfig, NetworkSettings, Precision, Targets, TrainerConfig, TrainingJob, backward,
    train,
};
use proptest::prelude::*;

use crate::formula;
use crate::training::{corpus, small_networks};

type Train = Autodiff<Flex>;

fn any_precision() -> impl Strategy<Value = (Precision, Engine)> {
    prop_oneof![
        Just((Precision::F32, Engine::Fast)),
        Just((Precision::Bf16, Engine::Fast)),
        Just((Precision::F32, Engine::Portable)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    /// Forward and backward over batches of clips of any size from 1 x 1 x 1 on, padded to the largest.
    #[test]
    fn networks_take_every_clip_that_they_do_not_refuse(
        at in 0..4_usize,
        sizes in prop::collection::vec([1..=5_usize, 1..=13_usize, 1..=13_usize], 1..=3),
        more in [0..=2_usize, 0..=3_usize, 0..=3_usize],
        (precision, engine) in any_precision(),
    ) {
        let config = &small_networks()[at];
        // Transformers see a square, whatever a clip's own size was.
        let square = config.backbone().map(|own| own.image);
        let sizes: Vec<[usize; 3]> = sizes
            .into_iter()
            .map(|[frames, rows, columns]| [frames, square.unwrap_or(rows), square.unwrap_or(columns)])
            .collect();
        let extents = Extents::new(sizes.clone());
        let mut grid = extents.grid();
        for axis in 0..if square.is_some() { 1 } else { 3 } {
            grid[axis] += more[axis];
        }
        let network: Network<Train> = config.init(5, &Default::default());
        let smallest = config.smallest_clip();
        let fits = sizes.iter().all(|own| own.iter().zip(smallest).all(|(own, least)| *own >= least));
        prop_assert_eq!(network.check_clips(&extents).is_ok(), fits);
        if !fits {
            return Ok(());
        }
        let batch = sizes.len();
        let shape = [batch, grid[0], grid[1], grid[2], 3];
        let mut values = formula::both_signs("input", shape.iter().product(), 1.0);
        let mask = extents.mask(grid);
        for (value, kept) in values.iter_mut().zip(mask.iter().flat_map(|kept| [*kept; 3])) {
            *value *= kept;
        }
        let clips = Tensor::from_data(TensorData::new(values, shape), &Default::default());
        let context = Context::training(precision, engine, CounterRandom::new(&[3]));
        let labels: Vec<f32> = (0..batch).map(|at| (at % 2) as f32).collect();
        let targets =
            Targets { labels: &labels, weights: &vec![1.0; batch], loss: Loss::default(), scale: 1.0 };
        let mut gradients = NamedGradients::<Flex>::new();
        let clips = Activation::of_clip(clips, extents);
        let outcome = backward(&network, clips, &targets, &context, false, &mut gradients);
        prop_assert!(outcome.loss.is_finite());
        prop_assert_eq!(outcome.log_odds.len(), batch);
        prop_assert!(outcome.log_odds.iter().all(|own| own.is_finite()));
        for (name, gradient) in gradients {
            let sum: f32 = gradient.abs().sum().into_scalar();
            prop_assert!(sum.is_finite(), "{}", name);
        }
    }

    /// Whatever is set, a network comes of it that scores a clip, or an error that names the setting.
    #[test]
    fn settings_are_refused_or_make_a_network(
        kind in prop::sample::select(vec![
            ModelKind::VariableArCnn, ModelKind::NaiveCnn, ModelKind::VitGru, ModelKind::VitTransformer,
        ]),
        depth in prop::option::of(-1.0..4.0_f64),
        width in prop::option::of(prop::sample::select(vec![0.0, 1.0, 3.0, 6.0, 12.0, 13.0, 24.0, 36.5, 96.0])),
        stride in prop::option::of(-1.0..6.0_f64),
        dropout in prop::option::of(-0.2..1.2_f64),
        positions: Option<bool>,
        whole: bool,
    ) {
        let mut parameters = Parameters::new();
        parameters.insert("configuration".to_owned(), ParameterValue::Text("small".to_owned()));
        let round = |own: f64| if whole { own.round() } else { own };
        for (name, value) in [
            ("depth", depth.map(round)),
            ("width", width),
            ("stem_stride", stride.map(round)),
            ("dropout", dropout),
        ] {
            if let Some(value) = value {
                parameters.insert(name.to_owned(), ParameterValue::Number(value));
            }
        }
        if let Some(value) = positions {
            parameters.insert("positions".to_owned(), ParameterValue::Flag(value));
        }
        let settings = match NetworkSettings::of(kind, &parameters, 1) {
            Ok(settings) => settings,
            Err(error) => {
                let told = error.to_string();
                prop_assert!(parameters.keys().any(|name| told.starts_with(name.as_str())), "{}", told);
                return Ok(());
            }
        };
        let side = settings.network.backbone().map_or(9, |own| own.image);
        let network: Network<Flex> = settings.network.init(1, &Default::default());
        let clip = Tensor::<Flex, 5>::ones([1, 2, side, side, 3], &Default::default());
        let clip = Activation::of_clip(clip, Extents::full(1, [2, side, side]));
        let context = Context::<Flex>::evaluation(Precision::F32, Engine::Fast);
        let outputs = network.forward(clip, &context);
        prop_assert!(outputs.dims()[0] == 1);
    }
}

/// A model's file can say what settings by name cannot: it is refused, and without the check these would
/// end the process, as is shown.
#[test]
fn networks_that_cannot_be_are_refused_by_name() {
    let cases = [
        r#"{"architecture":"variable_ar_cnn","widths":[8,0,16]}"#,
        r#"{"architecture":"variable_ar_cnn","widths":[8,16,16],"stem_stride":[1,0,1]}"#,
        r#"{"architecture":"naive_cnn","widths":[0,8,8]}"#,
        r#"{"architecture":"vit_gru","backbone":{"image":16,"patch":0,"width":24,"depth":1,"heads":2}}"#,
        r#"{"architecture":"vit_gru","backbone":{"image":17,"patch":8,"width":24,"depth":1,"heads":2}}"#,
        r#"{"architecture":"vit_gru","backbone":{"image":16,"patch":8,"width":25,"depth":1,"heads":2}}"#,
        r#"{"architecture":"vit_transformer","backbone":{"image":16,"patch":8,"width":24,"depth":1,"heads":2},"heads":5}"#,
    ];
    for case in cases {
        let config: NetworkConfig = serde_json::from_str(case).unwrap();
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains("expected") && error.contains("found"), "{error}");
        assert!(TrainerConfig::default().check(&config).is_err(), "{case}");
        let score = || {
            let side = config.backbone().map_or(9, |own| own.image);
            let network: Network<Flex> = config.init(1, &Default::default());
            let clip = Tensor::<Flex, 5>::ones([1, 2, side, side, 3], &Default::default());
            let clip = Activation::of_clip(clip, Extents::full(1, [2, side, side]));
            network.forward(clip, &Context::<Flex>::evaluation(Precision::F32, Engine::Fast))
        };
        assert!(catch_unwind(AssertUnwindSafe(score)).is_err(), "{case}: takes it");
    }
    for config in small_networks() {
        config.check().unwrap();
    }
}

/// Clips that are too small for a network are refused before the first step; the process ended in a panic of
/// the second layer before.
#[test]
fn clips_that_are_too_small_are_refused() {
    let (sources, clips) = corpus(4, [3, 3, 9], |_, source, _, x, _, _| (source * 20 + x) as u8);
    let run = |network: &NetworkConfig, folder: &Path| {
        let job = TrainingJob {
            network: network.clone(),
            trainer: TrainerConfig { epochs: 1, warmup_epochs: 0.0, ..TrainerConfig::default() },
            training: sources.clone(),
            validation: Vec::new(),
        };
        let go = AtomicBool::new(false);
        train::<Train>(&job, None, &clips, &Default::default(), folder, &go, &mut |_| {})
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    for network in small_networks() {
        let folder = tempfile::tempdir().unwrap();
        let found = run(&network, folder.path());
        if matches!(network, NetworkConfig::NaiveCnn(_)) {
            let error = found.unwrap_err();
            assert!(error.starts_with("a clip's size") && error.contains("4 rows"), "{error}");
        } else {
            found.unwrap();
        }
    }
}
