use super::*;
use crate::SinkName;
use throughline_otlp::{KeyValue, Metric, MetricKind, Number, PointValue, Resource, Scope, Signal};

fn point(name: &str, route: &str, time_ns: u64, value: i64) -> DataPoint {
    let metric = Metric { name: name.to_owned(), kind: MetricKind::Gauge, ..Metric::default() };
    let resource = Resource { attributes: vec![KeyValue::new("service.name", "bank")], ..Resource::default() };
    DataPoint {
        attributes: vec![KeyValue::new("route", route), KeyValue::new("method", "GET")],
        time_ns,
        value: PointValue::Number(Number::Int(value)),
        ..DataPoint::new(Arc::new(metric), Arc::new(resource), Arc::new(Scope::default()))
    }
}

fn open(bounds: Bounds) -> (tempfile::TempDir, Metrics) {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Metrics::open_with(dir.path(), bounds).unwrap();
    (dir, metrics)
}

async fn all(metrics: &Metrics) -> Vec<DataPoint> {
    metrics.metrics_after(0, 1_000_000).await.unwrap().into_iter().map(|(_, point)| point).collect()
}

fn sink() -> SinkCursor {
    SinkName::new("sink").unwrap().cursor(Signal::Metrics)
}

#[tokio::test]
async fn last_values_and_the_queue_survive_a_restart() {
    let (dir, metrics) = open(Bounds::default());
    let sent = [point("a", "/x", 1, 1), point("a", "/y", 1, 2), point("a", "/x", 3, 3), point("a", "/x", 2, 4)];
    let mut committed = metrics.commits();
    let appended = metrics.append(sent.to_vec()).await.unwrap();
    assert_eq!(appended, Appended { stored: 4, duplicates: 0 });
    assert!(committed.has_changed().unwrap());
    committed.mark_unchanged();
    drop(metrics);

    let metrics = Metrics::open(dir.path()).unwrap();
    assert_eq!(all(&metrics).await, sent);
    let mut last = metrics.last_values(Some("a".to_owned()), 10).await.unwrap();
    last.sort_by_key(|point| point.time_ns);
    assert_eq!(last, [sent[1].clone(), sent[2].clone()], "an older point does not replace a newer one");
    assert_eq!(metrics.last_values(Some("b".to_owned()), 10).await.unwrap(), []);
    assert_eq!(metrics.counts().await.unwrap(), MetricCounts { received: 4, series: 2, queued: 4, lost: 0 });
    let (second, rest) = (metrics.metrics_after(1, 1).await.unwrap(), metrics.metrics_after(4, 10).await.unwrap());
    assert_eq!((second, rest), (vec![(2, sent[1].clone())], vec![]));
}

#[tokio::test]
async fn a_retry_is_stored_once_and_the_order_of_attributes_does_not_matter() {
    let (_dir, metrics) = open(Bounds::default());
    metrics.append(vec![point("a", "/x", 1, 1)]).await.unwrap();
    let again = metrics.append(vec![point("a", "/x", 1, 1)]).await.unwrap();
    assert_eq!(again, Appended { stored: 0, duplicates: 1 });
    let mut turned = point("a", "/x", 2, 1);
    turned.attributes.reverse();
    metrics.append(vec![turned]).await.unwrap();
    assert_eq!(metrics.counts().await.unwrap().series, 1);
}

#[tokio::test]
async fn series_and_points_are_bounded() {
    let bounds = Bounds { series: 3, points: 5, bytes: 1 << 20 };
    let (_dir, metrics) = open(bounds);
    metrics.set_cursor(&sink(), 4).await.unwrap();
    for number in 0..10_u64 {
        metrics.append(vec![point("a", &format!("/{number}"), number, 1)]).await.unwrap();
    }
    assert_eq!(metrics.counts().await.unwrap(), MetricCounts { received: 10, series: 3, queued: 5, lost: 1 });
    let times: Vec<_> = all(&metrics).await.iter().map(|point| point.time_ns).collect();
    assert_eq!(times, [5, 6, 7, 8, 9]);
    let mut last: Vec<_> = metrics.last_values(None, 10).await.unwrap().iter().map(|point| point.time_ns).collect();
    last.sort_unstable();
    assert_eq!(last, [7, 8, 9], "the series that were not updated for longest are removed");
}

#[tokio::test]
async fn the_size_of_queued_points_is_bounded() {
    let (_dir, metrics) = open(Bounds { series: 10, points: 1_000, bytes: 10_000 });
    for number in 0..10_u64 {
        metrics.append(vec![point("a", &"x".repeat(3_000), number, 1)]).await.unwrap();
    }
    let counts = metrics.counts().await.unwrap();
    assert!((1..=3).contains(&counts.queued), "{counts:?}");
    assert!(!Metrics::fits(&point("a", &"x".repeat(MAX_POINT_BYTES), 0, 1)));
    assert!(Metrics::fits(&point("a", "x", 0, 1)));
}

#[tokio::test]
async fn cursors_survive_a_restart() {
    let (dir, metrics) = open(Bounds::default());
    assert_eq!(metrics.cursor(&sink()).await.unwrap(), 0);
    metrics.set_cursor(&sink(), 7).await.unwrap();
    drop(metrics);
    assert_eq!(Metrics::open(dir.path()).unwrap().cursor(&sink()).await.unwrap(), 7);
}

#[test]
fn a_file_of_another_program_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let connection = Connection::open(dir.path().join(FILE)).unwrap();
    connection.execute_batch("CREATE TABLE other (id INTEGER)").unwrap();
    assert!(matches!(Metrics::open(dir.path()), Err(StoreError::Corrupt(_))));
}
