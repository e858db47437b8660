// BundleService (proto/mentor/v1/bundle_service.proto) over the shelf: checks which caller may push
// and remove which bundle. Calls are handled as in the control API. Owned by the meta-learner; must
// outlive the server that it is registered with. Thread-safe.
#pragma once

#include <memory>

#include "meta_learner/control/service_options.h"
#include "meta_learner/store/bundle_shelf.h"

namespace grpc {
class Service;
}

namespace mentor::meta_learner {

class BundleService {
 public:
  // Uses these options: store, refusal, read_only, operations, rate and the limits of calls. On a
  // standby the shelf is null, and every call is refused.
  BundleService(ServiceOptions options, BundleShelf* shelf);
  ~BundleService();  // Stops.

  grpc::Service* service();
  // See ExperimentService::Stop.
  void Stop();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace mentor::meta_learner
