// The control API (proto/mentor/v1/experiment_service.proto) over the store. Owned by main;
// outlives the server that it is registered with. Thread-safe.
//
//   ExperimentService experiments({.store = store, .check_spec = CheckParts, ...}, metrics);
//   server = rpc::Server::Start(options, {experiments.service()});
//   ...
//   experiments.Stop();  // Before the server's Shutdown: streams do not end by themselves.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/metrics.h"
#include "common/violations.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/store.h"

namespace grpc {
class Service;
}

namespace mentor::meta_learner {

class ExperimentService {
 public:
  struct Options {
    ExperimentStore* store = nullptr;
    // Adds violations of what registered parts demand. The spec has legal ranges and every default.
    std::function<void(const v1::ExperimentSpec& spec, Violations* violations)> check_spec = {};
    // Something was created.
    std::function<void()> wake = {};
    // This experiment is CANCELLING: whoever runs it ends it soon.
    std::function<void(const std::string& name)> cancel = {};
    size_t calls_waiting_max = 1000;
    size_t watches_max = 256;
  };
  ExperimentService(Options options, Metrics* metrics);
  ~ExperimentService();  // Stops.

  grpc::Service* service();
  // Refuses new calls with UNAVAILABLE DRAINING, ends watches with the same, finishes calls in
  // line. Idempotent.
  void Stop();

 private:
  class Impl;
  const std::shared_ptr<Impl> impl_;  // Watches under way hold it too.
};

}  // namespace mentor::meta_learner
