// Bundles for users (proto/mentor/v1/bundle_service.proto) over the shelf: who may push and remove
// what, in the manner of the control API. Owned by the meta-learner; outlives the server that it is
// registered with. Thread-safe.
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
  // Of the options: store, leads, rate and the limits of calls. For who stands by the shelf is
  // null, and `leads` answers every call.
  BundleService(ServiceOptions options, BundleShelf* shelf);
  ~BundleService();  // Stops.

  grpc::Service* service();
  // As ExperimentService::Stop.
  void Stop();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace mentor::meta_learner
