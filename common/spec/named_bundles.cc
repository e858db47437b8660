#include "common/spec/named_bundles.h"

#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "common/bundle.h"
#include "common/check.h"

namespace mentor {
namespace {

namespace pb = google::protobuf;

// Visits every option in a message, recursively.
absl::Status EachOption(pb::Message* message,
                        const std::function<absl::Status(v1::Option* option)>& visit) {
  if (message->GetDescriptor() == v1::Option::descriptor())
    return visit(static_cast<v1::Option*>(message));
  const pb::Reflection* const reflection = message->GetReflection();
  std::vector<const pb::FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const pb::FieldDescriptor* field : fields) {
    if (field->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      MENTOR_RETURN_IF_ERROR(EachOption(reflection->MutableMessage(message, field), visit));
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
      MENTOR_RETURN_IF_ERROR(
          EachOption(reflection->MutableRepeatedMessage(message, field, i), visit));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status EditBundles(v1::ExperimentSpec* spec,
                         const std::function<absl::Status(std::string* value)>& edit) {
  const auto visit = [&](v1::Option* option) -> absl::Status {
    if (option->name() != kBundleOption) return absl::OkStatus();
    return edit(option->mutable_value());
  };
  if (spec->has_benchmark()) MENTOR_RETURN_IF_ERROR(EachOption(spec->mutable_benchmark(), visit));
  return spec->has_rule() ? EachOption(spec->mutable_rule(), visit) : absl::OkStatus();
}

std::set<std::string> BundlesOf(const v1::ExperimentSpec& spec) {
  std::set<std::string> digests;
  v1::ExperimentSpec copy;
  if (spec.has_benchmark()) *copy.mutable_benchmark() = spec.benchmark();
  if (spec.has_rule()) *copy.mutable_rule() = spec.rule();
  const absl::Status status = EditBundles(&copy, [&](std::string* value) {
    if (const auto digest = ParseBundleName(*value); digest.ok()) digests.insert(*digest);
    return absl::OkStatus();
  });
  MENTOR_CHECK(status.ok());
  return digests;
}

}  // namespace mentor
