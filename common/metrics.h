// The process's metrics: a Prometheus registry, the standard process_* values and the page
// /metrics. One for each process, made in main and passed down; thread-safe. Components get their
// metrics once, in their constructor, and keep the references, so that the hot path never looks up
// a label.
//
//   auto metrics = Metrics::Create({.build_info = {{"version", kVersion}}});
//   prometheus::Counter& steps = metrics->Counter(
//       "mentor_actor_env_steps_total", "Environment steps.");
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "common/mutex.h"

namespace mentor {

using Labels = std::map<std::string, std::string>;

// Bucket bounds in seconds.
std::vector<double> RpcBuckets();    // 1 ms to 10 s.
std::vector<double> UnitBuckets();   // .01 x 2^k up to 82 s: units, updates.
std::vector<double> WriteBuckets();  // .05 x 2^k up to 102 s: checkpoints.
std::vector<double> QueueBuckets();  // 1 s to 4 h: jobs in a queue.

class Metrics {
 public:
  struct Options {
    Labels build_info;  // Labels of mentor_build_info: version, revision, torch, mujoco.
  };
  static std::unique_ptr<Metrics> Create(const Options& options);
  static std::unique_ptr<Metrics> Create() { return Create(Options()); }

  // The same name and labels return the same metric. A bad name, or another type under a known
  // name, is a bug and aborts the process.
  prometheus::Counter& Counter(const std::string& name, const std::string& help,
                               const Labels& labels = {});
  prometheus::Gauge& Gauge(const std::string& name, const std::string& help,
                           const Labels& labels = {});
  prometheus::Histogram& Histogram(const std::string& name, const std::string& help,
                                   const std::vector<double>& buckets, const Labels& labels = {});
  // Removes a gauge, for series that end with the thing they describe (an experiment).
  void RemoveGauge(const std::string& name, prometheus::Gauge* gauge);

  // Serves /metrics on HOST:PORT; port 0 chooses a free port. UNAVAILABLE if the address is taken.
  absl::Status Expose(const std::string& address);
  // Valid after Expose.
  int port() const { return port_; }

  prometheus::Registry& registry() { return *registry_; }
  // Returns the contents of /metrics, in the text format.
  std::string Text() const;

 private:
  Metrics();

  // Fixed after construction; each does its own locking.
  const std::shared_ptr<prometheus::Registry> registry_;
  const std::shared_ptr<prometheus::Collectable> process_;

  Mutex mutex_;
  std::map<std::string, prometheus::Family<prometheus::Gauge>*> gauges_ ABSL_GUARDED_BY(mutex_);

  // Written by Expose.
  int port_ = 0;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace mentor
