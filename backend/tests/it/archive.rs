//! Tests of Cruddur with a damaged trace store.

use std::fs;

use crate::support::{Bench, Cruddur as _, Start as _};

#[tokio::test(flavor = "multi_thread")]
async fn with_a_damaged_trace_store_the_application_keeps_its_own_data() {
    let mut bench = Bench::start();
    let cookie = bench.sign_in("andrewbrown").await;
    let crud = bench.crud(&cookie, "before the damage").await;
    assert!(bench.stop().success());
    assert!(bench.data_dir().join("cruddur.db").exists());
    fs::write(bench.data_dir().join("traces.db"), "not a database, and longer than one page would be".repeat(200))
        .unwrap();
    bench.restart_stopped();
    let home: cruddur_shared::cruddur::Feed = bench.read("/api/activities/home").await;
    assert_eq!(home.activities[0], crud);
    bench.crud(&cookie, "still here").await;
}
