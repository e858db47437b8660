// Parses the responses of an S3 service: pages of lists, and errors as statuses. The input comes
// from the network, so it is not trusted. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::meta_learner {

struct S3ListPage {
  struct Item {
    std::string key;
    uint64_t size_bytes = 0;
    int64_t modified_s = 0;  // Unix time.
  };
  std::vector<Item> items;
  std::vector<std::string> folders;  // Common prefixes.
  std::string next;                  // Empty: the last page.
};

// Parses a response to ListObjectsV2. Returns UNAVAILABLE for anything else.
absl::StatusOr<S3ListPage> ParseS3List(std::string_view xml);

// Returns the error for a response with this HTTP status; `doing` is "GET s3://bucket/key". S3
// codes in the body decide where the HTTP status is ambiguous.
absl::Status S3Error(std::string_view doing, long http, std::string_view body);

}  // namespace mentor::meta_learner
