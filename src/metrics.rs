//! Counters and gauges, and their text form for `/metrics` (OpenMetrics as Prometheus reads it). Owns the
//! series, a bounded number of them; refuses labels that grow with the number of clients (AP-701).
//!
//! Names are given in full, e.g. `lanlord_dhcp_silent_total`; counters end in `_total`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};

/// Series in all; further ones share one series named `lanlord_metrics_dropped_total`.
const SERIES: usize = 5_000;

type Series = (&'static str, Vec<(&'static str, String)>);
type Source = Box<dyn Fn(&mut Samples) + Send + Sync>;

#[derive(Default)]
struct Registry {
    counters: RwLock<BTreeMap<Series, Arc<AtomicU64>>>,
}

/// What is asked for its values whenever somebody reads the metrics. Counters belong to the process, these to one
/// daemon: a test has several.
#[derive(Clone, Default)]
pub struct Sources(Arc<RwLock<Vec<Source>>>);

impl Sources {
    /// Registers one more.
    pub fn add(&self, samples: impl Fn(&mut Samples) + Send + Sync + 'static) {
        self.0.write().unwrap_or_else(|e| e.into_inner()).push(Box::new(samples));
    }
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::default)
}

/// Adds one. For hot paths keep the handle of [`counter`] instead.
pub fn count(name: &'static str, labels: &[(&'static str, &str)]) {
    counter(name, labels).fetch_add(1, Ordering::Relaxed);
}

/// The counter of that name and labels, made if it is new.
pub fn counter(name: &'static str, labels: &[(&'static str, &str)]) -> Arc<AtomicU64> {
    let series: Series = (name, labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect());
    if let Some(found) = registry().counters.read().unwrap_or_else(|e| e.into_inner()).get(&series) {
        return found.clone();
    }
    let mut counters = registry().counters.write().unwrap_or_else(|e| e.into_inner());
    let series = if counters.len() < SERIES { series } else { ("lanlord_metrics_dropped_total", Vec::new()) };
    counters.entry(series).or_default().clone()
}

/// Name, labels and value of a counter that a part keeps by itself.
pub type Counted = (&'static str, Vec<(&'static str, &'static str)>, u64);

/// Upper bounds of a histogram's buckets, in microseconds; whatever is longer is in the last.
const BOUNDS: [u64; 14] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

/// How long something takes, as a distribution. Adding to it costs two atomic additions.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// One more that took so many microseconds.
    pub fn observe(&self, micros: u64) {
        let at = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// In seconds, as Prometheus has it: buckets count what is below them, too.
    fn write(&self, name: &str, out: &mut String) {
        let _ = writeln!(out, "# TYPE {name} histogram");
        let mut below = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            below += bucket.load(Ordering::Relaxed);
            #[allow(clippy::cast_precision_loss)]
            let bound = BOUNDS.get(at).map_or("+Inf".to_owned(), |micros| (*micros as f64 / 1e6).to_string());
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        #[allow(clippy::cast_precision_loss)]
        let sum = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_sum {sum}\n{name}_count {below}");
    }
}

/// Values collected for one answer.
#[derive(Debug, Default)]
pub struct Samples {
    values: BTreeMap<Series2, f64>,
    histograms: BTreeMap<&'static str, String>,
}

type Series2 = (String, Vec<(String, String)>);

impl Samples {
    /// One value; a name that ends in `_total` is a counter, any other a gauge.
    pub fn put(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.values.insert((name.to_owned(), labels), value);
    }

    /// A distribution; its name ends in `_seconds`.
    pub fn histogram(&mut self, name: &'static str, histogram: &Histogram) {
        let mut text = String::new();
        histogram.write(name, &mut text);
        self.histograms.insert(name, text);
    }

    /// Counters that a part keeps by itself; those of several parts add up.
    pub fn rendered(&mut self, counters: Vec<Counted>) {
        for (name, labels, value) in counters {
            #[allow(clippy::cast_precision_loss)]
            let value = value as f64;
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            *self.values.entry((name.to_owned(), labels)).or_default() += value;
        }
    }
}

/// All series as text: the counters, and what these say.
pub fn render(sources: &Sources) -> String {
    let mut samples = Samples::default();
    for ((name, labels), value) in registry().counters.read().unwrap_or_else(|e| e.into_inner()).iter() {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
        #[allow(clippy::cast_precision_loss)]
        samples.put(name, &labels, value.load(Ordering::Relaxed) as f64);
    }
    for source in sources.0.read().unwrap_or_else(|e| e.into_inner()).iter() {
        source(&mut samples);
    }
    write(&samples)
}

fn write(samples: &Samples) -> String {
    let (mut out, mut last) = (String::new(), "");
    for ((name, labels), value) in &samples.values {
        if name != last {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            let _ = writeln!(out, "# TYPE {name} {kind}");
            last = name;
        }
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(out, "{name}{labels} {value}");
    }
    samples.histograms.values().for_each(|text| out.push_str(text));
    out
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_upwards_in_seconds() {
        let took = Histogram::default();
        [90, 900, 900, 9_000_000].into_iter().for_each(|micros| took.observe(micros));
        let mut samples = Samples::default();
        samples.histogram("lanlord_test_duration_seconds", &took);
        let text = write(&samples);
        assert!(text.starts_with("# TYPE lanlord_test_duration_seconds histogram\n"), "{text}");
        for line in
            ["_bucket{le=\"0.0001\"} 1", "_bucket{le=\"0.001\"} 3", "_bucket{le=\"5\"} 3", "_bucket{le=\"+Inf\"} 4"]
        {
            assert!(text.contains(&format!("lanlord_test_duration_seconds{line}\n")), "{line}: {text}");
        }
        assert!(text.ends_with("_sum 9.00189\nlanlord_test_duration_seconds_count 4\n"), "{text}");
    }

    #[test]
    fn counters_and_sources_are_rendered_with_their_type() {
        count("lanlord_test_things_total", &[("reason", "a \"quoted\" one")]);
        count("lanlord_test_things_total", &[("reason", "a \"quoted\" one")]);
        let (sources, others) = (Sources::default(), Sources::default());
        sources.add(|samples| samples.put("lanlord_test_depth", &[], 7.5));
        others.add(|samples| samples.put("lanlord_test_depth", &[], 8.5));
        let text = render(&sources);
        assert!(text.contains(
            "# TYPE lanlord_test_things_total counter\nlanlord_test_things_total{reason=\"a \\\"quoted\\\" one\"} 2\n"
        ));
        assert!(text.contains("# TYPE lanlord_test_depth gauge\nlanlord_test_depth 7.5\n"), "only ours: {text}");
    }
}
