//! The structure of every covered golden case: blocks, what strings them together, and parameters.

use std::path::Path;

use serde_json::Value;

use super::*;

const CASES: [&str; 12] = [
    "mlp_pred",
    "mlp_sim",
    "mlp_predsim",
    "vgg8b_pred",
    "vgg8b_sim",
    "vgg8b_predsim",
    "vgg8b_sgd_wd",
    "vgg8b_leaky_nobn",
    "vgg8b_nostd",
    "vgg8b_backprop",
    "vgg8b_linear_wd",
    "vgg8b_stem66",
];

fn case(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn size(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn config(case: &Value) -> ModelConfig {
    let c = &case["config"];
    let text = |key: &str| c[key].as_str().unwrap();
    let flag = |key: &str| c[key].as_bool().unwrap();
    let real = |key: &str| c[key].as_f64().unwrap();
    ModelConfig {
        model: text("model").parse().unwrap(),
        num_layers: size(&c["num_layers"]),
        num_hidden: size(&c["num_hidden"]),
        dim_in_decoder: size(&c["dim_in_decoder"]),
        feat_mult: real("feat_mult"),
        loss_sup: text("loss_sup").parse().unwrap(),
        nonlin: text("nonlin").parse().unwrap(),
        no_similarity_std: flag("no_similarity_std"),
        backprop: flag("backprop"),
        no_batch_norm: flag("no_batch_norm"),
        dropout: real("dropout"),
        beta: real("beta"),
        input: InputShape {
            height: size(&c["input_dim"]),
            width: size(&c["input_dim"]),
            channels: size(&c["input_ch"]),
        },
        num_classes: size(&c["num_classes"]),
    }
}

fn check_block(block: &Block, want: &Value, name: &str) {
    let at = format!("{name}, block {}", block.index);
    let (kind, cin, cout, kernel, stride, pad) = match block.map {
        MapKind::Conv { cin, cout, kernel, stride, pad } => ("conv", cin, cout, kernel, stride, pad),
        MapKind::Linear { fan_in, fan_out } => ("linear", fan_in, fan_out, 1, 1, 0),
    };
    assert_eq!(want["kind"], kind, "{at}");
    for (key, got) in [
        ("index", block.index),
        ("cin", cin),
        ("cout", cout),
        ("kernel", kernel),
        ("stride", stride),
        ("pad", pad),
        ("side", block.out_shape.h),
        ("side", block.out_shape.w),
        ("head_in", block.head_in),
    ] {
        assert_eq!(size(&want[key]), got, "{at}, {key}");
    }
    assert_eq!(want["first"], block.first, "{at}");
    assert_eq!(want["bias"], block.bias, "{at}");
    assert_eq!(want["drop"], block.dropout, "{at}");
    let pool = block.pred_pool.map(|p| [p.kh, p.kw, p.pad_h, p.pad_w]);
    assert_eq!(want["pool"], serde_json::json!(pool), "{at}");
    assert_eq!(block.in_shape.elements() % cin, 0, "{at}");
    if block.heads.pred {
        assert_eq!(block.pred_in_shape().elements(), block.head_in, "{at}");
    }
}

#[test]
fn the_structure_of_every_covered_case() {
    for name in CASES {
        let case = case(name);
        let model = Model::build(config(&case)).unwrap();

        let ops: Vec<Value> = (model.ops.iter())
            .map(|op| match op {
                Op::Block(i) => serde_json::json!(["block", i]),
                Op::MaxPool => serde_json::json!(["maxpool"]),
                Op::Flatten => serde_json::json!(["flat"]),
            })
            .collect();
        assert_eq!(case["ops"], Value::Array(ops), "{name}");

        let blocks = case["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), model.blocks.len(), "{name}");
        for (block, want) in model.blocks.iter().zip(blocks) {
            check_block(block, want, name);
        }

        let params: Vec<Value> = (model.params.iter())
            .map(|p| {
                let role = if p.role == Role::Stat { "stat" } else { "train" };
                serde_json::json!({"name": p.name, "shape": p.shape, "role": role})
            })
            .collect();
        assert_eq!(case["params"], Value::Array(params), "{name}");
    }
}

#[test]
fn shapes_and_poolings_chain_and_owners_list_the_trunk_first() {
    for name in CASES {
        let model = Model::build(config(&case(name))).unwrap();
        for pair in model.blocks.windows(2) {
            assert_eq!(pair[0].next_shape(), pair[1].in_shape, "{name}");
        }
        let last = model.blocks.last().unwrap();
        assert_eq!(last.next_shape(), model.output.in_shape, "{name}");
        for (i, op) in model.ops.iter().enumerate() {
            if let Op::Block(b) = *op {
                let pooled = model.ops.get(i + 1) == Some(&Op::MaxPool);
                assert_eq!(model.blocks[b].max_pool_after, pooled, "{name}");
            }
        }
        let mut listed = Vec::new();
        for owner in model.owners() {
            let parts: Vec<Part> = model.params_of(owner).map(|(_, p)| p.part).collect();
            let trunk = parts.iter().take_while(|&&p| p == Part::Trunk).count();
            assert!(trunk > 0 && parts[trunk..].iter().all(|&p| p == Part::Head), "{name}");
            listed.extend(model.params_of(owner).map(|(i, _)| i));
        }
        assert_eq!(listed, (0..model.params.len()).collect::<Vec<_>>(), "{name}");
        for p in &model.params {
            assert_eq!(p.shape.iter().product::<usize>(), p.elements(), "{name} {}", p.name);
        }
    }
}
