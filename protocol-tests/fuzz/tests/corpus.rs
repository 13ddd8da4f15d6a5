//! What fuzzing has found worth keeping, replayed.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports its failure")]

use std::path::Path;

use heliostat_fuzz::TARGETS;

#[test]
fn every_target_holds_for_its_corpus() {
    for (name, target) in TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut replayed = 0;
        for entry in std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory:?}: {error}")) {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            if let Err(panic) = std::panic::catch_unwind(|| target(&bytes)) {
                eprintln!("the target {name} does not hold for {path:?}");
                std::panic::resume_unwind(panic);
            }
            replayed += 1;
        }
        assert!(replayed > 10, "{name}: only {replayed} inputs are kept");
    }
}
