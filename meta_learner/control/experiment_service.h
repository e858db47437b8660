// The control API (proto/mentor/v1/experiment_service.proto) over the store. Owned by main; must
// outlive the server that it is registered with. Thread-safe.
//
//   ExperimentService experiments({.store = store, .specs = specs, ...}, metrics);
//   server = rpc::Server::Start(options, {experiments.service()});
//   ...
//   experiments.Stop();  // Before the server's Shutdown: streams do not end by themselves.
#pragma once

#include <memory>

#include "common/metrics.h"
#include "meta_learner/control/service_options.h"

namespace grpc {
class Service;
}

namespace mentor::meta_learner {

class ExperimentService {
 public:
  using Options = ServiceOptions;
  ExperimentService(Options options, Metrics* metrics);
  ~ExperimentService();  // Stops.

  grpc::Service* service();
  // Refuses new calls with UNAVAILABLE DRAINING, ends streams with the same error, and finishes
  // queued calls. Idempotent.
  void Stop();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace mentor::meta_learner
