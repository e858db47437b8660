// An object store over the S3 API: Amazon, MinIO, Ceph and other services with AWS signature
// version 4 and conditional writes. Uses libcurl, which also signs. Bodies are held in memory as a
// whole: at most some hundred MB.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "meta_learner/objects/object_store.h"

namespace mentor::meta_learner {

struct ObjectMetrics {
  explicit ObjectMetrics(Metrics* metrics);

  struct Operation {
    prometheus::Counter* requests = nullptr;
    prometheus::Counter* failures = nullptr;
  };
  std::map<std::string, Operation> operations;  // put, get, list, delete.
};

struct S3Options {
  std::string url = {};       // "s3://BUCKET/PREFIX"; without a prefix: the whole bucket.
  std::string endpoint = {};  // "https://host:port"; empty: see S3EndpointOr.
  std::string region = {};    // Empty: see S3RegionOr.
  // Where to put the bucket's name: in the URL's "path", in the "host" name, or "auto": in the path
  // if there is an endpoint.
  std::string addressing = "auto";
  // Allows an endpoint with plain http: on this machine, or in a protected network.
  bool allow_plain = false;
  // The endpoint is of this machine, so no proxy is used, whatever the variables say.
  bool without_proxy = false;
  const ObjectMetrics* metrics = nullptr;  // Must outlive the store. Null: no metrics.
  // A try ends after this long without progress.
  std::chrono::seconds stall{10};
  // Tries for transient errors; the waits between them double.
  int tries = 4;
  std::chrono::milliseconds first_wait{100};
};

// Returns `endpoint` if set, else AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, in this order; empty:
// Amazon's.
std::string S3EndpointOr(const std::string& endpoint);

// Makes a store without connecting. Returns INVALID_ARGUMENT with the name of a wrong flag.
absl::StatusOr<std::unique_ptr<ObjectStore>> MakeS3Store(const S3Options& options);

}  // namespace mentor::meta_learner
