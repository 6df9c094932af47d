//! What a training is made of beside its network: loss, schedule, steps, two learning rates, unfreezing,
//! accumulation, number formats. The golden numbers are of `tools/golden/recipe.py`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use burn::tensor::{DType, Tensor, TensorData};
use fvc_nn::cast_policy::{LayerKind, format_of};
use fvc_nn::{
    AdamW, AdamWConfig, BatchNorm, ClassBalance, ClipSource, Context, CounterRandom, Engine,
    EpochRecord, Excerpt, Extents, LayerNorm, Loss, LossScale, NamedGradients, Network,
    NetworkBackend, NetworkConfig, Precision, Sampler, Schedule, Source, Targets, TrainerConfig,
    TrainingEvent, TrainingJob, VisionTransformerConfig, VitGruConfig, VitTransformerConfig,
    Weight, Weights, backward, global_norm, load_batch, shortening, train,
};
use serde::Deserialize;

use crate::formula;
use crate::pytorch_parity::host;
use crate::training::corpus;

type Train = Autodiff<Flex>;

#[derive(Deserialize)]
struct LossCase {
    name: String,
    loss: Loss,
    weights: Vec<f32>,
    log_odds: Vec<f32>,
    labels: Vec<f32>,
    values: Vec<f64>,
    gradients: Vec<f64>,
}

#[derive(Deserialize)]
struct ScheduleCase {
    #[serde(flatten)]
    schedule: Schedule,
    factors: Vec<f64>,
}

#[derive(Deserialize)]
struct Moved {
    shape: Vec<usize>,
    norm: f64,
    probe: f64,
    first: Vec<f64>,
}

#[derive(Deserialize)]
struct Clipped {
    config: NetworkConfig,
    backbone_learning_rate: f64,
    head_learning_rate: f64,
    weight_decay: f64,
    epsilon: f64,
    limit: f64,
    bounds: Vec<f64>,
    norms: Vec<f64>,
    parameters: BTreeMap<String, Moved>,
}

#[derive(Deserialize)]
struct Golden {
    losses: Vec<LossCase>,
    schedules: Vec<ScheduleCase>,
    clipped: Clipped,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/recipe.json")).unwrap()
}

// ------------------------------------------------------------------------------------------ against PyTorch

/// Every loss at log odds from 0 to where single precision knows only 0 and 1, alone and as a sum. At 0
/// exactly, where a clip of nothing but zeros is, the gradient was 1/2 off; and with an exponent below 1 the
/// focal loss had none at large log odds.
#[test]
fn losses_and_their_gradients_are_pytorchs() {
    for case in golden().losses {
        let of = |log_odds: &[f32], labels: &[f32], weights: &[f32]| {
            let z = Tensor::<Train, 1>::from_floats(log_odds, &Default::default()).require_grad();
            let loss = case.loss.weighted_sum(z.clone(), labels, weights);
            let gradients = loss.backward();
            (host(loss)[0], host(z.grad(&gradients).unwrap()))
        };
        let mut total = 0.0;
        for at in 0..case.log_odds.len() {
            let (value, gradient) =
                of(&case.log_odds[at..=at], &case.labels[at..=at], &case.weights[at..=at]);
            for (found, expected) in [(value, case.values[at]), (gradient[0], case.gradients[at])] {
                let difference = (f64::from(found) - expected).abs();
                let place = (case.log_odds[at], case.labels[at]);
                assert!(
                    difference <= 2e-6 * (0.1 + expected.abs()),
                    "{}, {place:?}: {found} {expected}",
                    case.name
                );
            }
            total += case.values[at];
        }
        let (sum, gradients) = of(&case.log_odds, &case.labels, &case.weights);
        assert!((f64::from(sum) - total).abs() < 1e-5 * total, "{}", case.name);
        for (found, expected) in gradients.iter().zip(&case.gradients) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{}", case.name);
        }
    }
}

/// Warm-up by `LinearLR`, then `CosineAnnealingLR`, one after the other as `SequentialLR` puts them. The
/// whole rate comes twice, as the last of the one and the first of the other; the last share would be
/// reached by the step behind the last.
#[test]
fn the_schedule_is_that_of_pytorchs_schedulers() {
    for ScheduleCase { schedule, factors } in golden().schedules {
        assert_eq!(factors.len() as u64, schedule.steps + 1);
        for (step, expected) in factors.iter().enumerate() {
            let found = schedule.factor(step as u64);
            assert!((found - expected).abs() < 1e-12, "{schedule:?}, {step}: {found} {expected}");
        }
        assert!(schedule.factor(schedule.steps - 1) > 0.0);
    }
}

/// Three steps of two groups with rates of their own, decay for weights only, on gradients of which two are
/// longer than the limit.
#[test]
fn shortened_gradients_move_both_groups_as_in_pytorch() {
    let case = golden().clipped;
    let config = AdamWConfig {
        backbone_learning_rate: case.backbone_learning_rate,
        head_learning_rate: case.head_learning_rate,
        weight_decay: case.weight_decay,
        epsilon: case.epsilon,
        ..AdamWConfig::default()
    };
    let device = Default::default();
    let network = case.config.init::<Train>(0, &device);
    let mut weights = Weights::of(&network.valid());
    for (name, weight) in &mut weights.by_name {
        weight.values = formula::both_signs(&format!("recipe.{name}"), weight.values.len(), 0.5);
    }
    let (mut network, _) = weights.apply(network);
    let mut optimizer = AdamW::<Flex>::new(config);
    let mut shortened = 0;
    for (step, (bound, expected)) in case.bounds.iter().zip(&case.norms).enumerate() {
        let mut gradients = NamedGradients::<Flex>::new();
        for (name, weight) in &weights.by_name {
            let stream = format!("recipe.gradient.{step}.{name}");
            let values = formula::both_signs(&stream, weight.values.len(), *bound);
            gradients.insert(name.clone(), Tensor::from_floats(values.as_slice(), &device));
        }
        let norm = global_norm(&gradients);
        assert!((norm - expected).abs() < 1e-6 * expected, "{norm} {expected}");
        let factor = shortening(norm, case.limit);
        shortened += usize::from(factor < 1.0);
        network = optimizer.step(network, &gradients, factor, 1.0);
    }
    assert_eq!(shortened, 2);
    let moved = Weights::of(&network.valid());
    for (name, expected) in &case.parameters {
        let own = &moved.by_name[name];
        assert_eq!(own.shape, expected.shape, "{name}");
        let probe = formula::both_signs(&format!("probe.{name}"), own.values.len(), 1.0);
        let norm = own.values.iter().map(|&own| f64::from(own).powi(2)).sum::<f64>().sqrt();
        let product: f64 =
            own.values.iter().zip(probe).map(|(&a, b)| f64::from(a) * f64::from(b)).sum();
        for (found, expected) in [(norm, expected.norm), (product, expected.probe)]
            .into_iter()
            .chain(own.values.iter().zip(&expected.first).map(|(&a, &b)| (f64::from(a), b)))
        {
            assert!((found - expected).abs() < 2e-6 * norm, "{name}: {found} {expected}");
        }
    }
    assert_eq!(shortening(0.0, 1.0).to_bits(), 1.0_f64.to_bits());
    assert_eq!(shortening(1e9, 0.0).to_bits(), 1.0_f64.to_bits());
}

// ------------------------------------------------------------------------------------------- whole trainings

fn backbone() -> VisionTransformerConfig {
    VisionTransformerConfig { image: 16, patch: 8, width: 24, depth: 3, heads: 3 }
}

/// Vision transformers of few weights, without dropout, which is drawn by the batch.
fn transformers() -> [NetworkConfig; 2] {
    [
        NetworkConfig::VitGru(VitGruConfig {
            backbone: backbone(),
            hidden: 10,
            layers: 1,
            dropout: 0.0,
        }),
        NetworkConfig::VitTransformer(VitTransformerConfig {
            backbone: backbone(),
            feed_forward: 20,
            layers: 1,
            heads: 3,
            dropout: 0.0,
            positions: true,
        }),
    ]
}

fn clips_of(count: u32) -> (Vec<Source>, Arc<dyn ClipSource>) {
    corpus(count, [4, 16, 16], |fake, source, frame, x, y, colour| {
        let parts = [source, frame, y * 16 + x, colour].map(u64::from);
        let noise = (CounterRandom::new(&parts).uniform(0) * 120.0) as u8;
        noise + if fake { 100 } else { 0 }
    })
}

/// One step an epoch at the whole rate, and moves that are proportional to gradients (but for a part in ten
/// thousand), so that weights show gradients.
fn plain(epochs: u64, clips: usize) -> TrainerConfig {
    let mut config = TrainerConfig {
        epochs,
        batch: clips,
        accumulation: 1,
        frames: 4,
        warmup_epochs: 0.0,
        clip_norm: 0.0,
        class_balance: ClassBalance::None,
        ..TrainerConfig::default()
    };
    config.optimizer.weight_decay = 0.0;
    config
}

fn with_epsilon(mut config: TrainerConfig) -> TrainerConfig {
    // 30 g / (|g| + 1000): with a gradient of 1 a move of 0.03.
    config.optimizer.epsilon = 1e3;
    config.optimizer.head_learning_rate = 10.0;
    config.optimizer.backbone_learning_rate = 10.0;
    config
}

struct Run {
    weights: Weights,
    records: Vec<EpochRecord>,
    norms: Vec<f64>,
}

fn run(
    network: &NetworkConfig,
    trainer: TrainerConfig,
    first: Option<&Weights>,
    (sources, clips): &(Vec<Source>, Arc<dyn ClipSource>),
) -> Run {
    let job = TrainingJob {
        network: network.clone(),
        trainer,
        training: sources.clone(),
        validation: Vec::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let go = AtomicBool::new(false);
    let mut norms = Vec::new();
    let (trained, _) =
        train::<Train>(&job, first, clips, &Default::default(), folder.path(), &go, &mut |event| {
            if let TrainingEvent::Step { gradient_norm, .. } = event {
                norms.push(*gradient_norm);
            }
        })
        .unwrap();
    Run { weights: trained.weights, records: trained.records, norms }
}

fn first_weights(network: &NetworkConfig) -> Weights {
    Weights::of(&network.init::<Flex>(11, &Default::default()))
}

/// How far each value of a parameter moved.
fn moves(before: &Weights, after: &Weights, name: &str) -> Vec<f64> {
    let (before, after) = (&before.by_name[name].values, &after.by_name[name].values);
    before.iter().zip(after).map(|(&own, &other)| f64::from(other) - f64::from(own)).collect()
}

fn is_still(before: &Weights, after: &Weights, name: &str) -> bool {
    let bits = |weights: &Weights| -> Vec<u32> {
        weights.by_name[name].values.iter().map(|value| value.to_bits()).collect()
    };
    bits(before) == bits(after)
}

fn is_backbone(name: &str) -> bool {
    name.starts_with("backbone.")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A backbone whose rate is 0 stays bit for bit, decay and all, while the rest moves.
#[test]
fn a_backbone_with_a_rate_of_0_stays_as_it_is() {
    let clips = clips_of(4);
    for network in transformers() {
        let first = first_weights(&network);
        let mut trainer = plain(2, 4);
        trainer.optimizer.backbone_learning_rate = 0.0;
        trainer.optimizer.head_learning_rate = 1e-3;
        trainer.optimizer.weight_decay = 0.1;
        let after = run(&network, trainer, Some(&first), &clips).weights;
        for name in first.by_name.keys() {
            assert_eq!(is_still(&first, &after, name), is_backbone(name), "{name}");
        }
    }
}

/// Adam's first step is the rate itself, whatever the gradient: each group's moves are its own rate.
#[test]
fn moves_of_backbone_and_head_follow_their_rates() {
    let clips = clips_of(4);
    for network in transformers() {
        let first = first_weights(&network);
        let with = |backbone: f64, head: f64| {
            let mut trainer = plain(1, 4);
            trainer.optimizer.backbone_learning_rate = backbone;
            trainer.optimizer.head_learning_rate = head;
            let after = run(&network, trainer, Some(&first), &clips).weights;
            [true, false].map(|of_backbone| {
                let names = first.by_name.keys().filter(|name| is_backbone(name) == of_backbone);
                let sizes = names.flat_map(|name| moves(&first, &after, name)).map(f64::abs);
                median(sizes.collect())
            })
        };
        for (backbone, head) in [(1e-4, 2e-3), (1e-3, 1e-3), (4e-3, 5e-4)] {
            let [of_backbone, of_head] = with(backbone, head);
            assert!((of_backbone / backbone - 1.0).abs() < 0.02, "{of_backbone} {backbone}");
            assert!((of_head / head - 1.0).abs() < 0.02, "{of_head} {head}");
        }
    }
}

/// At first the head and the last normalisation learn, then with each epoch one more block from the last to
/// the first, the embedding with the first block. What does not learn yet stays bit for bit.
#[test]
fn blocks_learn_one_more_an_epoch_from_the_last_one_on() {
    let clips = clips_of(4);
    for network in transformers() {
        let first = first_weights(&network);
        // The first block that learns, by the epochs that were run; 3 of them.
        for every in [1, 2] {
            for (epochs, learns_from) in [(1, 3), (2, 2), (3, 1), (4, 0)] {
                let mut trainer = plain(epochs * every, 4);
                trainer.unfreeze_every = every;
                trainer.patience = 100;
                trainer.optimizer.backbone_learning_rate = 1e-3;
                let after = run(&network, trainer, Some(&first), &clips).weights;
                for name in first.by_name.keys() {
                    let block = name
                        .strip_prefix("backbone.blocks.")
                        .and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
                    let learns = match block {
                        Some(block) => block >= learns_from,
                        None if name.starts_with("backbone.norm.") => true,
                        None => !is_backbone(name) || learns_from == 0,
                    };
                    let still = is_still(&first, &after, name);
                    assert_eq!(still, !learns, "{name}, {epochs} times {every}");
                }
            }
        }
    }
}

/// How far two sets of weights are from one another, relative to how far they moved.
fn apart(first: &Weights, one: &Weights, other: &Weights) -> f64 {
    let length = |a: &Weights, b: &Weights| -> f64 {
        let squares = first.by_name.keys().flat_map(|name| moves(a, b, name));
        squares.map(|own| own * own).sum::<f64>().sqrt()
    };
    let moved = length(first, one);
    assert!(moved > 1e-3, "{moved}");
    length(one, other) / moved
}

/// Micro-batches whose gradients are added make the step of one large batch, also where the last step of an
/// epoch has fewer clips than the others and the last micro-batch fewer than its own.
#[test]
fn micro_batches_make_the_step_of_one_large_batch() {
    for network in transformers() {
        let first = first_weights(&network);
        // Clips, effective batch, steps an epoch; cut into batches of these sizes.
        for (clips, effective, steps, cuts) in
            [(6, 6, 1, [1, 2, 3]), (7, 6, 2, [1, 2, 3]), (9, 4, 3, [1, 2, 2]), (3, 8, 1, [1, 2, 4])]
        {
            let clips = clips_of(clips);
            let with = |batch: usize| {
                let mut trainer = with_epsilon(plain(1, batch));
                trainer.accumulation = effective / batch;
                run(&network, trainer, Some(&first), &clips)
            };
            let large = with(effective);
            assert_eq!(large.norms.len(), steps);
            for batch in cuts {
                let small = with(batch);
                assert_eq!(small.norms.len(), steps);
                let apart = apart(&first, &large.weights, &small.weights);
                assert!(apart < 1e-5, "{batch} of {effective}: {apart}");
                let loss = |run: &Run| run.records[0].training_loss;
                assert!((loss(&small) - loss(&large)).abs() < 1e-5 * loss(&large));
            }
        }
    }
}

/// The tail of an epoch is a step of its own, and every step's gradient the mean over its clips by what
/// they weigh: done by hand here, clip by clip, from what the sampler draws.
#[test]
fn a_tail_is_stepped_on_and_counts_by_what_it_holds() {
    let network = &transformers()[1];
    let first = first_weights(network);
    // Seven clips in steps of four: 4 and 3. Four are real, three fake.
    let (sources, clips) = clips_of(7);
    for balance in [ClassBalance::None, ClassBalance::Weights, ClassBalance::Sampler] {
        let mut trainer = with_epsilon(plain(1, 2));
        trainer.accumulation = 2;
        trainer.class_balance = balance;
        let given = (sources.clone(), Arc::clone(&clips));
        let found = run(network, trainer.clone(), Some(&first), &given);
        let sampler = Sampler::new(&sources, &*clips, trainer.seed, balance).unwrap();
        let excerpts = sampler.epoch(0, trainer.frames);
        let (mut own, _) = first.apply(network.init::<Train>(0, &Default::default()));
        let mut optimizer = AdamW::<Flex>::new(trainer.optimizer);
        let schedule = Schedule { warmup_steps: 0, steps: 2, last_share: trainer.last_share };
        let mut norms = Vec::new();
        for (step, chunk) in excerpts.chunks(4).enumerate() {
            let weight = |excerpt: &Excerpt| match balance {
                ClassBalance::Weights if sources[excerpt.source].fake => 7.0 / 6.0,
                ClassBalance::Weights => 7.0 / 8.0,
                _ => 1.0,
            };
            let mut gradients = NamedGradients::<Flex>::new();
            for excerpt in chunk {
                let label = if sources[excerpt.source].fake { 1.0 } else { 0.0 };
                let batch =
                    load_batch(&*clips, network.frame_shape(), vec![excerpt.clone()]).unwrap();
                let targets = Targets {
                    labels: &[label],
                    weights: &[weight(excerpt)],
                    loss: Loss::default(),
                    scale: 1.0,
                };
                let context =
                    Context::training(Precision::F32, Engine::Fast, CounterRandom::new(&[0]));
                let clips = batch.clips.on::<Flex>(&Default::default(), false);
                backward(&own, clips, &targets, &context, false, &mut gradients);
            }
            let total: f32 = chunk.iter().map(weight).sum();
            let mean = 1.0 / f64::from(total);
            norms.push(global_norm(&gradients) * mean);
            own = optimizer.step(own, &gradients, mean, schedule.factor(step as u64));
        }
        assert_eq!(found.norms.len(), 2);
        for (found, expected) in found.norms.iter().zip(&norms) {
            assert!((found / expected - 1.0).abs() < 1e-5, "{balance:?}: {found} {expected}");
        }
        let apart = apart(&first, &Weights::of(&own.valid()), &found.weights);
        assert!(apart < 1e-5, "{balance:?}: {apart}");
    }
}

/// The trainer shortens what is longer than its limit, and tells the length from before.
#[test]
fn the_trainer_shortens_long_gradients() {
    let network = &transformers()[0];
    let first = first_weights(network);
    let clips = clips_of(4);
    let with = |clip_norm: f64| {
        let mut trainer = with_epsilon(plain(1, 4));
        trainer.clip_norm = clip_norm;
        let run = run(network, trainer, Some(&first), &clips);
        let all = first.by_name.keys().flat_map(|name| moves(&first, &run.weights, name));
        (run.norms[0], all.map(|own| own * own).sum::<f64>().sqrt())
    };
    let (norm, whole) = with(0.0);
    let (same_norm, half) = with(norm / 2.0);
    let (_, all) = with(norm * 2.0);
    assert!((same_norm / norm - 1.0).abs() < 1e-9);
    assert!((all / whole - 1.0).abs() < 1e-6, "{all} {whole}");
    // Weights of 1 know moves of 1e-3 to 1e-4 of themselves only.
    assert!((half / whole - 0.5).abs() < 1e-3, "{half} {whole}");
}

// ------------------------------------------------------------------------------------------- number formats

/// In f16 a gradient beyond 65504 is infinite. One fake clip among eight weighs 4, and the head says `real`
/// of everything, so that its first gradient is 4 times the scale: 262144, 131072 and 65536 are too much, and
/// what 32768 becomes in the layers before may be. The steps are skipped, move nothing, and are counted, until
/// one fits.
#[test]
fn f16_skips_steps_until_the_loss_scale_fits() {
    let network = &transformers()[1];
    let mut first = first_weights(network);
    first.by_name.get_mut("head.bias").unwrap().values = vec![-30.0];
    let (mut sources, clips) = clips_of(8);
    for (at, source) in sources.iter_mut().enumerate() {
        source.fake = at == 3;
    }
    let with = |epochs: u64, precision: Precision| {
        let mut trainer = plain(epochs, 8);
        trainer.class_balance = ClassBalance::Weights;
        trainer.precision = precision;
        trainer.patience = 100;
        // At the rate of the first step to the last.
        trainer.last_share = 1.0;
        run(network, trainer, Some(&first), &(sources.clone(), Arc::clone(&clips)))
    };
    let skipped = with(3, Precision::F16);
    assert!(skipped.norms.iter().all(|norm| !norm.is_finite()), "{:?}", skipped.norms);
    for name in first.by_name.keys() {
        assert!(is_still(&first, &skipped.weights, name), "{name}");
    }
    let found = with(8, Precision::F16);
    let counts: Vec<u64> = found.records.iter().map(|record| record.skipped_steps).collect();
    let skips = counts.iter().take_while(|&&count| count == 1).count();
    assert!((3..=6).contains(&skips), "{counts:?}");
    assert!(counts[skips..].iter().all(|&count| count == 0), "{counts:?}");
    assert!(found.norms[skips..].iter().all(|norm| norm.is_finite()));
    assert!(!is_still(&first, &found.weights, "head.bias"));
    assert!(found.records.iter().all(|record| record.training_loss.is_finite()));
    // The gradient that was learnt from is that of f32, whatever it was multiplied by on its way.
    // (Of the same epoch, which decides what is drawn, and with weights that stand still up to it.)
    let still = |precision: Precision| {
        let mut trainer = plain(skips as u64 + 1, 8);
        trainer.class_balance = ClassBalance::Weights;
        trainer.precision = precision;
        trainer.patience = 100;
        trainer.optimizer.backbone_learning_rate = 0.0;
        trainer.optimizer.head_learning_rate = 1e-12;
        run(network, trainer, Some(&first), &(sources.clone(), Arc::clone(&clips)))
    };
    let exact = still(Precision::F32);
    let ratio = found.norms[skips] / exact.norms[skips];
    assert!((ratio - 1.0).abs() < 0.005, "{ratio}");
    // bf16 has the range of f32, and no scale.
    let wide = still(Precision::Bf16);
    assert!(wide.records.iter().all(|record| record.skipped_steps == 0));
    assert!((wide.norms[skips] / exact.norms[skips] - 1.0).abs() < 0.03);
}

/// Halved at every step that is not finite, down to 1; doubled after 2000 good ones in a row, up to 2^24.
/// Formats with the range of f32 have none.
#[test]
fn the_loss_scale_halves_and_grows_as_documented() {
    let mut scale = LossScale::for_precision(Precision::F16);
    let is = |scale: &LossScale, expected: f64| (scale.scale() - expected).abs() < 1e-9;
    assert!(is(&scale, 65_536.0));
    scale.after_step(false);
    assert!(is(&scale, 32_768.0));
    for _ in 0..1999 {
        scale.after_step(true);
    }
    assert!(is(&scale, 32_768.0));
    scale.after_step(true);
    assert!(is(&scale, 65_536.0));
    // One bad step begins the count anew.
    for good in (0..1999).map(|_| true).chain([false]).chain((0..1999).map(|_| true)) {
        scale.after_step(good);
    }
    assert!(is(&scale, 32_768.0));
    scale.after_step(true);
    assert!(is(&scale, 65_536.0));
    for _ in 0..40 {
        scale.after_step(false);
    }
    assert!(is(&scale, 1.0));
    for _ in 0..40 * 2000 {
        scale.after_step(true);
    }
    assert!(is(&scale, 16_777_216.0));
    for precision in [Precision::F32, Precision::Bf16] {
        let mut scale = LossScale::for_precision(precision);
        assert!(is(&scale, 1.0));
        scale.after_step(false);
        (0..2001).for_each(|_| scale.after_step(true));
        assert!(is(&scale, 1.0));
    }
}

#[test]
fn what_sums_or_exponentiates_stays_in_f32() {
    for (precision, low) in
        [(Precision::F32, DType::F32), (Precision::Bf16, DType::BF16), (Precision::F16, DType::F16)]
    {
        for kind in [LayerKind::Convolution, LayerKind::Linear, LayerKind::Attention] {
            assert_eq!(format_of(kind, precision), low, "{kind:?}");
        }
        for kind in [
            LayerKind::Normalization,
            LayerKind::Softmax,
            LayerKind::Recurrent,
            LayerKind::Loss,
            LayerKind::Optimizer,
        ] {
            assert_eq!(format_of(kind, precision), DType::F32, "{kind:?}");
        }
    }
}

/// And the layers do as the table says: sums over many numbers that a sum in a low format would lose (bf16
/// counts to 256, f16 to 2048).
#[test]
fn sums_that_low_formats_would_lose_are_kept() {
    let device = Default::default();
    for format in [DType::BF16, DType::F16] {
        // 0, 2, 0, 2, ..: mean 1, variance 1.
        let (rows, columns) = (96, 96);
        let count = rows * columns;
        let values: Vec<f32> = (0..count).map(|at| if at % 2 == 0 { 0.0 } else { 2.0 }).collect();
        let clip = Tensor::<Flex, 5>::from_data(
            TensorData::new(values.clone(), [1, 1, rows, columns, 1]),
            &device,
        )
        .cast(format);
        let extents = Extents::full(1, [1, rows, columns]);
        for engine in [Engine::Fast, Engine::Portable] {
            let mean = Flex::global_average(clip.clone(), &extents, engine);
            assert_eq!(mean.dtype(), DType::F32);
            assert!((host(mean)[0] - 1.0).abs() < 1e-6, "{format:?}, {engine:?}");
            let precision = if format == DType::F16 { Precision::F16 } else { Precision::Bf16 };
            let context = Context::<Flex>::training(precision, engine, CounterRandom::new(&[1]));
            BatchNorm::new(1, &device).forward(vec![clip.clone()], false, &extents, &context);
            let seen = context.take_statistics().remove(0);
            assert_eq!((seen.mean.dtype(), seen.variance.dtype()), (DType::F32, DType::F32));
            assert!((host(seen.mean)[0] - 1.0).abs() < 1e-6, "{format:?}, {engine:?}");
            let unbiased = count as f32 / (count as f32 - 1.0);
            assert!((host(seen.variance)[0] - unbiased).abs() < 1e-5, "{format:?}, {engine:?}");
        }
        // A row of 768 with neighbours that no low format tells apart.
        let row: Vec<f32> = values[..768].iter().map(|value| 300.0 + value / 20.0).collect();
        let row = Tensor::<Flex, 1>::from_floats(row.as_slice(), &device).reshape([1, 768]);
        for engine in [Engine::Fast, Engine::Portable] {
            let context = Context::<Flex>::evaluation(Precision::Bf16, engine);
            let found = LayerNorm::new(768, 1e-6, &device).forward(row.clone(), &context);
            assert_eq!(found.dtype(), DType::F32);
            for (at, found) in host(found).into_iter().enumerate() {
                let expected = if at % 2 == 0 { -1.0 } else { 1.0 };
                // Burn's own sum is f32 from the first number to the last.
                assert!((found - expected).abs() < 0.05, "{engine:?}: {found} {expected}");
            }
        }
        // 4096 clips of ln 2 each.
        let logits = Tensor::<Flex, 1>::zeros([4096], &device).cast(format);
        let sum = Loss::default().weighted_sum(logits, &[1.0; 4096], &[1.0; 4096]);
        assert_eq!(sum.dtype(), DType::F32);
        let expected = 4096.0 * std::f32::consts::LN_2;
        assert!((host(sum)[0] / expected - 1.0).abs() < 1e-3);
    }
}

/// Weights are kept in f32 whatever the layers run in: a move of 1e-4 from 1, which in bf16 were none (its
/// next numbers are 1/128 away) and in f16 another one, is there after the step.
#[test]
fn weights_and_moments_are_kept_in_f32() {
    let clips = clips_of(4);
    let network = &transformers()[1];
    let first = first_weights(network);
    let norm = "backbone.norm.weight";
    assert!(first.by_name[norm].values.iter().all(|value| value.to_bits() == 1.0_f32.to_bits()));
    for precision in [Precision::Bf16, Precision::F16] {
        let after_epochs = |epochs: u64| {
            let mut trainer = plain(epochs, 4);
            trainer.optimizer.backbone_learning_rate = 1e-4;
            trainer.last_share = 1.0;
            trainer.patience = 100;
            trainer.precision = precision;
            run(network, trainer, Some(&first), &clips)
        };
        // In f16 the first steps may be skipped; the first that is not.
        let found = (1..12)
            .map(after_epochs)
            .find(|run| run.records.iter().any(|own| own.skipped_steps == 0));
        let after = found.unwrap().weights;
        let found = median(moves(&first, &after, norm).into_iter().map(f64::abs).collect());
        assert!((found - 1e-4).abs() < 1e-6, "{precision:?}: {found}");
    }
    // Moments: a gradient of 1e-6 after one of 1 is felt, which a sum in bf16 would lose.
    let device = Default::default();
    let step = |second: f32| {
        let mut network: Network<Train> = network.init(3, &device);
        let mut optimizer = AdamW::<Flex>::new(AdamWConfig::default());
        for gradient in [1.0, second] {
            let gradient = Tensor::<Flex, 1>::from_floats([gradient].as_slice(), &device);
            let gradients = NamedGradients::from([("head.bias".to_owned(), gradient)]);
            network = optimizer.step(network, &gradients, 1.0, 1.0);
        }
        Weights::of(&network.valid()).by_name["head.bias"].clone()
    };
    let Weight { values: without, .. } = step(0.0);
    let Weight { values: with, .. } = step(1e-3);
    assert_ne!(without[0].to_bits(), with[0].to_bits());
}
