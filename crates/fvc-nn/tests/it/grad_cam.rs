//! Grad-CAM where what a network looks at is planted by hand.

use std::fs;

use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule as _;
use burn::tensor::{Tensor, TensorData};
use fvc_media::Frame;
use fvc_nn::{
    Activation, Context, CounterRandom, Engine, Extents, FrameShape, Heat, NaiveCnnConfig, Network,
    NetworkConfig, NetworkError, Precision, VariableArCnnConfig, VisionTransformerConfig,
    VitGruConfig, VitTransformerConfig, Weights, grad_cam, write_png,
};

type Train = Autodiff<Flex>;

/// Noise where clips are, 0 elsewhere.
fn clips(shape: [usize; 5], extents: &Extents) -> Activation<Flex> {
    let random = CounterRandom::new(&[5]);
    let mask = extents.mask([shape[1], shape[2], shape[3]]);
    let values: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|at| mask[at / 3] * random.normal(at as u64))
        .collect();
    let tensor = Tensor::from_data(TensorData::new(values, shape), &Default::default());
    Activation::of_clip(tensor, extents.clone())
}

fn evaluation() -> Context<Flex> {
    Context::evaluation(Precision::F32, Engine::Fast)
}

/// The network with other values of some weights.
fn planted(config: &NetworkConfig, plant: &[(&str, &dyn Fn(usize) -> f32)]) -> Network<Train> {
    let network: Network<Train> = config.init(3, &Default::default());
    let mut weights = Weights::of(&network.valid());
    for (name, value) in plant {
        let weight = weights.by_name.get_mut(*name).unwrap();
        weight.values = (0..weight.values.len()).map(value).collect();
    }
    let (network, report) = weights.apply(network);
    assert!(report.missing.is_empty() && report.other_shape.is_empty(), "{report:?}");
    network
}

/// What goes into the last block: values and channels.
fn before_last(network: &Network<Train>, clips: Activation<Flex>) -> (Vec<f32>, [usize; 5]) {
    let (network, context) = (network.valid(), evaluation());
    let mut activation = clips;
    for block in 0..network.blocks() - 1 {
        activation = network.forward_block(block, activation, &context);
    }
    let clip = activation.clip();
    let shape = clip.dims();
    (clip.into_data().to_vec().unwrap(), shape)
}

fn variable() -> NetworkConfig {
    NetworkConfig::VariableArCnn(VariableArCnnConfig {
        widths: [4, 8, 12],
        ..VariableArCnnConfig::default()
    })
}

#[test]
fn heat_is_where_the_channel_that_the_head_looks_at_is_bright() {
    // The grid of this network is the clip's, so heat is the channel itself.
    let network = planted(&variable(), &[("head.weight", &|at| f32::from(at == 5))]);
    let extents = Extents::new(vec![[3, 6, 5], [2, 4, 7]]);
    let clips = clips([2, 3, 6, 7, 3], &extents);
    let (values, [_, frames, rows, columns, channels]) = before_last(&network, clips.clone());
    let heats = grad_cam::<Train>(&network, clips, &evaluation()).unwrap();
    for (clip, (heat, size)) in heats.iter().zip(extents.valid()).enumerate() {
        assert_eq!(heat.shape, *size, "no position outside the clip");
        assert_eq!(heat.values.len(), size.iter().product::<usize>());
        let mut channel = Vec::new();
        for frame in 0..size[0] {
            for row in 0..size[1] {
                for column in 0..size[2] {
                    let at = ((clip * frames + frame) * rows + row) * columns + column;
                    channel.push(values[at * channels + 5]);
                }
            }
        }
        let largest = channel.iter().copied().fold(0.0, f32::max);
        assert!(largest > 0.0, "the test has something to find");
        for (heat, value) in heat.values.iter().zip(&channel) {
            assert!((heat - value / largest).abs() < 1e-5, "{heat} for {value} of {largest}");
        }
    }
}

#[test]
fn what_speaks_for_real_has_no_heat() {
    let network = planted(&variable(), &[("head.weight", &|at| -f32::from(at == 5))]);
    let extents = Extents::full(1, [2, 5, 5]);
    let heats = grad_cam::<Train>(&network, clips([1, 2, 5, 5, 3], &extents), &evaluation());
    assert!(heats.unwrap()[0].values.iter().all(|&value| value == 0.0));
}

#[test]
fn heat_of_two_outputs_is_of_fake_and_is_spread_over_the_clip() {
    let config = NetworkConfig::NaiveCnn(NaiveCnnConfig {
        widths: [4, 6, 8],
        hidden: 5,
        ..NaiveCnnConfig::default()
    });
    // The hidden units see channel 2 only, and fake is their sum.
    let network = planted(
        &config,
        &[
            ("hidden.weight", &|at| f32::from(at % 8 == 2)),
            ("hidden.bias", &|_| 1.0),
            ("head.weight", &|at| if at < 5 { 0.0 } else { 1.0 }),
        ],
    );
    let extents = Extents::new(vec![[3, 16, 12], [2, 12, 16]]);
    let clips = clips([2, 3, 16, 16, 3], &extents);
    let (values, [_, frames, rows, columns, channels]) = before_last(&network, clips.clone());
    let heats = grad_cam::<Train>(&network, clips, &evaluation()).unwrap();
    for (clip, (heat, size)) in heats.iter().zip(extents.valid()).enumerate() {
        assert_eq!(heat.shape, *size);
        // The brightest cell of a quarter of the size, and the pixels of its middle.
        let cells = (0..size[0]).flat_map(|frame| {
            (0..size[1] / 4).flat_map(move |row| (0..size[2] / 4).map(move |own| (frame, row, own)))
        });
        let value = |&(frame, row, column): &(usize, usize, usize)| {
            let at = ((clip * frames + frame) * rows + row) * columns + column;
            values[at * channels + 2]
        };
        let brightest = cells.max_by(|a, b| value(a).total_cmp(&value(b))).unwrap();
        assert!(value(&brightest) > 0.0);
        let (frame, row, column) = brightest;
        let at =
            |row: usize, column: usize| heat.values[(frame * size[1] + row) * size[2] + column];
        // Pixels 1 and 2 of four lie an eighth of a cell beside its middle: at least 7/8 of 7/8 of the
        // largest is left there, whatever lies around.
        for (down, right) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let found = at(4 * row + down, 4 * column + right);
            assert!((0.765..=1.0).contains(&found), "{found}");
        }
    }
}

#[test]
fn vision_transformers_have_heat_on_their_patches() {
    let backbone = VisionTransformerConfig { image: 16, patch: 8, width: 24, depth: 2, heads: 2 };
    let configs = [
        NetworkConfig::VitGru(VitGruConfig {
            backbone: backbone.clone(),
            hidden: 10,
            ..VitGruConfig::default()
        }),
        NetworkConfig::VitTransformer(VitTransformerConfig {
            backbone,
            feed_forward: 20,
            heads: 3,
            ..VitTransformerConfig::default()
        }),
    ];
    for config in configs {
        let network: Network<Train> = config.init(3, &Default::default());
        let extents = Extents::new(vec![[3, 16, 16], [2, 16, 16]]);
        let heats =
            grad_cam::<Train>(&network, clips([2, 3, 16, 16, 3], &extents), &evaluation()).unwrap();
        assert_eq!((heats[0].shape, heats[1].shape), ([3, 16, 16], [2, 16, 16]));
        for heat in heats {
            let largest = heat.values.iter().copied().fold(0.0, f32::max);
            assert_eq!(largest, 1.0, "patches have a part in the score");
            assert!(heat.values.iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }
}

#[test]
fn a_clip_without_positions_is_refused() {
    let network = planted(&variable(), &[]);
    let extents = Extents::new(vec![[0, 4, 4]]);
    let error = grad_cam::<Train>(&network, clips([1, 1, 4, 4, 3], &extents), &evaluation());
    assert!(matches!(error, Err(NetworkError::Setting { .. })));
}

#[test]
fn heat_of_a_square_comes_back_to_its_picture() {
    // A picture of 8 x 4 on a square of 4: its heat is the upper half.
    let mut values = vec![0.0; 16];
    values[..8].copy_from_slice(&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
    values[8..].fill(0.5);
    let heat = Heat { shape: [1, 4, 4], values };
    let own = heat.on_picture(0, FrameShape::Square(4), (8, 4)).unwrap();
    assert_eq!(own.len(), 32);
    assert_eq!((own[0], own[7]), (0.0, 1.0));
    assert!(own[3] < own[4], "the step between columns 1 and 2 of the square");
    assert_eq!(heat.on_picture(1, FrameShape::Square(4), (8, 4)), None);
    // Without a square it is what it is.
    assert_eq!(heat.on_picture(0, FrameShape::AnyShape, (4, 4)).unwrap(), heat.values);
}

#[test]
fn a_picture_of_heat_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heat.png");
    let pixels = [[100, 100, 100], [100, 100, 100], [0, 255, 7]].concat();
    let frame = Frame::new(3, 1, pixels, 0, 0.0).unwrap();
    write_png(&path, &frame, &[0.0, 1.0, f32::NAN]).unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(&path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut data = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut data).unwrap();
    // Each pixel is 107 pixels wide and high, which makes 320 at least, above a strip of a 24th of the width.
    assert_eq!((info.width, info.height, info.color_type), (321, 107 + 13, png::ColorType::Rgb));
    let at = |column: usize, row: usize| &data[3 * (row * 321 + column)..][..3];
    for row in [0, 53, 106] {
        assert_eq!(at(0, row), [100, 100, 100], "no heat leaves a pixel as it is");
        assert_eq!(at(106, row), [100, 100, 100]);
        assert_eq!(at(107, row), [207, 192, 56], "0.3 of the pixel and 0.7 of viridis' end");
        assert_eq!(at(320, row), [0, 255, 7]);
    }
    assert_eq!([at(0, 107), at(320, 119)], [[68, 1, 84], [253, 231, 37]], "viridis, end to end");
    let error = write_png(&path, &frame, &[0.0; 2]).unwrap_err();
    assert_eq!(error.to_string(), "heat: expected 3 numbers, one for each pixel, found 2");
}
