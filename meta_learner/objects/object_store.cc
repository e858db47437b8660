#include "meta_learner/objects/object_store.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
#include "common/status.h"

namespace mentor::meta_learner {
namespace {

constexpr char kFormatKey[] = "FORMAT";
constexpr std::string_view kFormat = "mentor-objects 1\n";
constexpr size_t kKeyBytesMax = 900;  // S3 allows 1024, including the prefix.

}  // namespace

bool IsObjectKey(std::string_view key) {
  if (key.empty() || key.size() > kKeyBytesMax) return false;
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(key.data(), key.size()), '/')) {
    if (part.empty() || part == "." || part == "..") return false;
    for (const char c : part) {
      if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-')
        return false;
    }
  }
  return true;
}

absl::Status CheckObjectStore(ObjectStore* store) {
  const absl::Status made = store->PutIfAbsent(kFormatKey, kFormat, nullptr);
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  MENTOR_ASSIGN_OR_RETURN(const std::string found, store->Get(kFormatKey, 1000, nullptr));
  if (found != kFormat) {
    return MakeError(
        Reason::kTooNew,
        absl::StrFormat("%s: its FORMAT is not 'mentor-objects 1': use the newer program, or "
                        "another prefix",
                        store->name()));
  }
  const absl::Status again = store->PutIfAbsent(kFormatKey, kFormat, nullptr);
  if (absl::IsAlreadyExists(again)) return absl::OkStatus();
  if (!again.ok()) return again;
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s: a conditional write (If-None-Match: *) replaced what was there: this service does not "
      "keep to the S3 API that Mentor needs; use another one",
      store->name()));
}

}  // namespace mentor::meta_learner
