// Bytes by key in a bucket, whoever keeps them: what the durable copies of checkpoints and
// artifacts need of it. Keys are "a/b/c" below the prefix that the store was made with. Not for
// what the bytes mean (store/experiment_objects.h). Thread-safe.
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
  int64_t age_s = 0;  // Since it was written, by the clock of who keeps it.
};

// Errors: UNAVAILABLE when it is away, errs or answers with nonsense, after some tries;
// PERMISSION_DENIED and FAILED_PRECONDITION when credentials, bucket or settings are wrong;
// CANCELLED when *cancel (null: never) became true.
class ObjectStore {
 public:
  using Cancel = std::atomic<bool>;
  virtual ~ObjectStore() = default;

  // For messages: "s3://bucket/prefix".
  virtual const std::string& name() const = 0;
  // Replaces what is there. Once it is OK, every Get and List sees it.
  virtual absl::Status Put(const std::string& key, std::string_view bytes,
                           const Cancel* cancel) = 0;
  // ALREADY_EXISTS when there is one of this key; it stays. A try whose answer was lost may have
  // written it: compare.
  virtual absl::Status PutIfAbsent(const std::string& key, std::string_view bytes,
                                   const Cancel* cancel) = 0;
  // NOT_FOUND; DATA_LOSS when it is longer. Bytes that are not what was put are read again, and
  // UNAVAILABLE in the end.
  virtual absl::StatusOr<std::string> Get(const std::string& key, uint64_t bytes_max,
                                          const Cancel* cancel) = 0;
  // Those whose key begins with `prefix`, by key.
  virtual absl::StatusOr<std::vector<ObjectInfo>> List(const std::string& prefix,
                                                       const Cancel* cancel) = 0;
  // The distinct NAMEs of keys PREFIX + NAME + "/...", in order; `prefix` ends with '/'.
  virtual absl::StatusOr<std::vector<std::string>> ListFolders(const std::string& prefix,
                                                               const Cancel* cancel) = 0;
  // OK also when there is none.
  virtual absl::Status Delete(const std::string& key, const Cancel* cancel) = 0;
};

// Proves before anything else that it can be read and written and keeps its word about conditional
// writes, and that no newer program uses it: with the object FORMAT.
absl::Status CheckObjectStore(ObjectStore* store);

// Whether a key is one of ours: parts of letters, digits and "._-", none of them "." or "..".
bool IsObjectKey(std::string_view key);

}  // namespace mentor::meta_learner
