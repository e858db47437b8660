// An object store over the S3 API: Amazon, MinIO, Ceph and other services with AWS signature
// version 4 and conditional writes. Uses libcurl, which also signs. Bodies are held in memory as a
// whole: at most some hundred MB.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "common/secret.h"
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
  std::string region = {};    // See S3RegionOr.
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

// Credentials as the AWS tools find them: in the environment, else in the usual file.
struct S3Credentials {
  std::string key_id;
  Secret secret;
  Secret session_token;  // Empty when there is none.
};

// Reads AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Otherwise reads section
// AWS_PROFILE ("default") of the file AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials). Reads the
// file each time, since it may be renewed. Returns PERMISSION_DENIED with the searched places.
absl::StatusOr<S3Credentials> FindS3Credentials();

// Parses one section of such a file.
absl::StatusOr<S3Credentials> ParseS3Credentials(std::string_view text, std::string_view section);

// Returns `region` if set, else AWS_REGION, AWS_DEFAULT_REGION or us-east-1, in this order.
std::string S3RegionOr(const std::string& region);

// A page of a list. The responses come from the network, so they are not trusted.
struct S3ListPage {
  struct Item {
    std::string key;
    uint64_t size_bytes = 0;
    int64_t modified_s = 0;  // Unix time.
  };
  std::vector<Item> items;
  std::vector<std::string> folders;  // Common prefixes.
  std::string next;                  // The last page has none.
};

// Parses a response to ListObjectsV2. Returns UNAVAILABLE for anything else.
absl::StatusOr<S3ListPage> ParseS3List(std::string_view xml);

// Returns the error for a response with this HTTP status; `doing` is "GET s3://bucket/key". S3
// codes in the body decide where the HTTP status is ambiguous.
absl::Status S3Error(std::string_view doing, long http, std::string_view body);

// Makes a store without connecting. Returns INVALID_ARGUMENT with the name of a wrong flag.
absl::StatusOr<std::unique_ptr<ObjectStore>> MakeS3Store(const S3Options& options);

}  // namespace mentor::meta_learner
