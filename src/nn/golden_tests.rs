//! The structure of every golden case: blocks, what strings them together, and parameters.

use std::path::Path;

use serde_json::Value;

use super::*;

/// Names of all cases, in order.
fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let cases = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let mut names: Vec<String> = cases.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    assert!(names.len() >= 19, "only {} cases", names.len());
    names
}

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
        loss_unsup: text("loss_unsup").parse().unwrap(),
        nonlin: text("nonlin").parse().unwrap(),
        no_similarity_std: flag("no_similarity_std"),
        backprop: flag("backprop"),
        no_batch_norm: flag("no_batch_norm"),
        pre_act: flag("pre_act"),
        bio: flag("bio"),
        target_proj_size: size(&c["target_proj_size"]),
        dropout: real("dropout"),
        beta: real("beta"),
        aux_depth: 1,
        local_modules: None,
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
    let order = match block.order {
        Order::Post => "post",
        Order::Pre => "pre",
        Order::Bare => "bare",
    };
    assert_eq!(want["order"], order, "{at}");
    let kind = block.shortcut.map(|shortcut| match shortcut.kind {
        ShortcutKind::Identity => "identity",
        ShortcutKind::Conv => "conv",
        ShortcutKind::ConvNorm => "conv_bn",
    });
    assert_eq!(want["shortcut"], serde_json::json!(kind), "{at}");
    let (from, stride) = block.shortcut.map_or((0, 1), |shortcut| (shortcut.from.c, shortcut.stride));
    assert_eq!((size(&want["sc_in"]), size(&want["sc_stride"])), (from, stride), "{at}");
    let pool = block.pred_pool.map(|p| [p.kh, p.kw, p.pad_h, p.pad_w]);
    assert_eq!(want["pool"], serde_json::json!(pool), "{at}");
    assert_eq!(block.in_shape.elements() % cin, 0, "{at}");
    if block.heads.pred {
        assert_eq!(block.pred_in_shape().elements(), block.head_in, "{at}");
    }
}

fn op(op: &Op, dropout: f64) -> Value {
    match *op {
        Op::Block(i) => serde_json::json!(["block", i]),
        Op::Tap(i) => serde_json::json!(["tap", i]),
        Op::MaxPool => serde_json::json!(["maxpool"]),
        Op::Flatten => serde_json::json!(["flat"]),
        Op::Drop => serde_json::json!(["drop", dropout]),
        Op::End(End { norm: false, pool: EndPool::Average { kh: 4, kw: 4 } }) => serde_json::json!(["end", "avg4"]),
        Op::End(End { norm: true, pool: EndPool::Average { kh: 8, kw: 8 } }) => serde_json::json!(["end", "wide_avg8"]),
        Op::End(End { norm: true, pool: EndPool::Max }) => serde_json::json!(["end", "wide_max2"]),
        Op::End(end) => panic!("the published program has no {end:?}"),
    }
}

#[test]
fn the_structure_of_every_case() {
    for name in names() {
        let (case, name) = (case(&name), &name);
        let model = Model::build(config(&case)).unwrap();

        let ops: Vec<Value> = model.ops.iter().map(|o| op(o, model.config.dropout)).collect();
        assert_eq!(case["ops"], Value::Array(ops), "{name}");

        let blocks = case["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), model.blocks.len(), "{name}");
        for (block, want) in model.blocks.iter().zip(blocks) {
            check_block(block, want, name);
        }

        let params: Vec<Value> = (model.params.iter())
            .map(|p| {
                let role = match p.role {
                    Role::Train => "train",
                    Role::Fixed => "fixed",
                    Role::Stat => "stat",
                };
                serde_json::json!({"name": p.name, "shape": p.shape, "role": role})
            })
            .collect();
        assert_eq!(case["params"], Value::Array(params), "{name}");
    }
}

#[test]
fn shapes_chain_and_owners_list_every_parameter_once() {
    for name in names() {
        let model = Model::build(config(&case(&name))).unwrap();
        for (index, op) in model.ops.iter().enumerate() {
            if let Op::Block(block) = *op {
                assert_eq!(model.shape_before(index), model.blocks[block].in_shape, "{name}");
            }
        }
        assert_eq!(model.shape_before(model.ops.len()), model.output.in_shape, "{name}");
        let listed: Vec<usize> =
            model.owners().flat_map(|owner| model.params_of(owner).map(|(i, _)| i).collect::<Vec<_>>()).collect();
        assert_eq!(listed, (0..model.params.len()).collect::<Vec<_>>(), "{name}");
        for p in &model.params {
            assert_eq!(p.shape.iter().product::<usize>(), p.elements(), "{name} {}", p.name);
        }
    }
}
