// Interface of an object store: bytes by key in a bucket, for durable copies of checkpoints and
// artifacts. Keys are "a/b/c" below the prefix that the store was made with.
// store/experiment_objects.h defines what the bytes mean. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::meta_learner {

struct ObjectInfo {
  std::string key;
  uint64_t size_bytes = 0;
  int64_t age_s = 0;  // Since the write, by the service's clock.
};

// Errors: UNAVAILABLE when the service is unreachable, fails or sends nonsense, after some tries.
// PERMISSION_DENIED and FAILED_PRECONDITION when credentials, bucket or settings are wrong.
// CANCELLED when *cancel (null: never) became true.
class ObjectStore {
 public:
  using Cancel = std::atomic<bool>;
  virtual ~ObjectStore() = default;

  // Returns "s3://bucket/prefix", for messages.
  virtual const std::string& name() const = 0;
  // Writes or replaces an object. After OK, every Get and List sees the object.
  virtual absl::Status Put(const std::string& key, std::string_view bytes,
                           const Cancel* cancel) = 0;
  // Writes an object only if the key is unused. Otherwise returns ALREADY_EXISTS and changes
  // nothing. The existing object may come from an earlier try whose answer was lost, so callers
  // must compare.
  virtual absl::Status PutIfAbsent(const std::string& key, std::string_view bytes,
                                   const Cancel* cancel) = 0;
  // Returns NOT_FOUND when there is no object, DATA_LOSS when it is longer than bytes_max. Bytes
  // that differ from what was put are read again, and are UNAVAILABLE in the end.
  virtual absl::StatusOr<std::string> Get(const std::string& key, uint64_t bytes_max,
                                          const Cancel* cancel) = 0;
  // Returns the objects whose key begins with `prefix`, by key.
  virtual absl::StatusOr<std::vector<ObjectInfo>> List(const std::string& prefix,
                                                       const Cancel* cancel) = 0;
  // Returns the distinct NAMEs of keys PREFIX + NAME + "/...", in order. `prefix` must end with
  // '/'.
  virtual absl::StatusOr<std::vector<std::string>> ListFolders(const std::string& prefix,
                                                               const Cancel* cancel) = 0;
  // Deletes an object. Returns OK even if there is none.
  virtual absl::Status Delete(const std::string& key, const Cancel* cancel) = 0;
};

// Checks with the object FORMAT that the store can be read and written, and honours conditional
// writes. Also checks that no newer program uses the store. Must be called before any other use.
absl::Status CheckObjectStore(ObjectStore* store);

// True if a key is valid: parts of letters, digits and "._-", none of them "." or "..".
bool IsObjectKey(std::string_view key);

}  // namespace mentor::meta_learner
