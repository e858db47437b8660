// Objects by the S3 API: Amazon's, MinIO, Ceph and others that sign with AWS's version 4 and know
// conditional writes. Over libcurl, which signs. Bodies are whole: at most some hundred MB.
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
  // Where the bucket's name goes: "path" of the URL, name of the "host", or "auto": the path when
  // there is an endpoint.
  std::string addressing = "auto";
  // An endpoint of plain http: on this machine, or where the network protects itself.
  bool allow_plain = false;
  const ObjectMetrics* metrics = nullptr;  // Outlives the store. Null: none are kept.
  // A try ends when it gets nowhere for so long.
  std::chrono::seconds stall{10};
  // Of errors that may pass; the waits between them double.
  int tries = 4;
  std::chrono::milliseconds first_wait{100};
};

// The given one, else AWS_ENDPOINT_URL_S3, else AWS_ENDPOINT_URL; empty: Amazon's.
std::string S3EndpointOr(const std::string& endpoint);

// INVALID_ARGUMENT names the flag that is wrong. Connects to nobody yet.
absl::StatusOr<std::unique_ptr<ObjectStore>> MakeS3Store(const S3Options& options);

}  // namespace mentor::meta_learner
