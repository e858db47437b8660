// What an S3 service answers, read: pages of lists, and errors as statuses. Input from the network:
// nothing is believed. Pure functions.
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

// An answer to ListObjectsV2. UNAVAILABLE when it is something else.
absl::StatusOr<S3ListPage> ParseS3List(std::string_view xml);

// What an answer with this status of HTTP means; `doing` is "GET s3://bucket/key". Codes of S3 in
// the body decide where the status leaves it open.
absl::Status S3Error(std::string_view doing, long http, std::string_view body);

}  // namespace mentor::meta_learner
