//! temporary
use std::collections::BTreeMap;
use std::time::Instant;
use fvc_corpus::*;
use fvc_learn::*;
use fvc_media::ContentId;
fn main() {
    let mut state = 5_u64;
    let mut next = move || { state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); ((state >> 11) as f64) / (1u64<<53) as f64 };
    let (n, p) = (3000, 76);
    let mut labels = BTreeMap::new(); let mut ev = vec![]; let mut rows = vec![];
    for at in 0..n {
        let id = ContentId::of_bytes(&(at as u64).to_le_bytes());
        let fake = next() < 0.5;
        labels.insert(id, if fake { Label::Fake } else { Label::Real });
        ev.push(GroupEvidence { content_id: id, declared: vec![(at/3).to_string()] });
        let shared = next();
        rows.push(FeatureRow { content_id: id, variant: 0, values: (0..p).map(|c| next() + 0.5*shared + if fake { 0.3 / (1.0 + c as f64) } else { 0.0 }).collect() });
    }
    let groups = GroupTable::build(&ev);
    let ex = Examples::join(FeatureMatrix { columns: (0..p).map(|c| format!("c{c}")).collect(), rows }, &labels, &groups).unwrap();
    let split = Split::plan(&groups, &labels, &SplitConfig { folds: 5, test_fraction: 0.0, seed: 1 }).unwrap();
    let (train, _) = split.fold(0, &ex).unwrap();
    for kind in ModelKind::ALL {
        let t = Instant::now();
        let pre = Preprocessor::fit(&train, kind.preprocessing()).unwrap();
        println!("{kind}: preprocessor {:?}, kept {}", t.elapsed(), pre.kept_columns().len());
        for grid in [Grid::None, Grid::Small, Grid::Reference] {
            let t = Instant::now();
            let g = kind.grid(grid);
            let mut notes = vec![];
            for q in &g { let f = kind.estimator(q, 1).unwrap().fit(&train, &pre).unwrap(); notes.push(f.notes); }
            println!("{kind} {grid:?}: {} fits {:?} a fit; {:?}", g.len(), t.elapsed() / g.len() as u32, notes.last());
        }
        let f = kind.estimator(&Parameters::new(), 1).unwrap().fit(&train, &pre).unwrap();
        let t = Instant::now(); let mut s = 0.0;
        for r in train.rows() { s += f.body.margin(&pre.apply(r.values)); }
        println!("score {:?} a row {s}", t.elapsed() / train.len() as u32);
        let t = Instant::now();
        for r in train.rows().take(200) { s += f.body.contributions(&pre.apply(r.values)).base; }
        println!("shap {:?} a row {s}", t.elapsed() / 200);
    }
}
