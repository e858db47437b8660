// The wire never breaks: whatever a released version said is still understood.
// tests/data/proto/v1.binpb holds the descriptors of that version; after additions it may be
// written again:
//
//   cd proto && protoc -I . --descriptor_set_out=../tests/data/proto/v1.binpb mentor/v1/*.proto
#include <fstream>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include "common/rpc/auth.h"
#include "mentor/v1/access.pb.h"
#include "mentor/v1/experiment_service.pb.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/shard_service.pb.h"
#include "tests/paths.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

namespace pb = google::protobuf;

pb::FileDescriptorSet Golden() {
  std::ifstream file(testing::SourcePath("tests/data/proto/v1.binpb"), std::ios::binary);
  pb::FileDescriptorSet set;
  REQUIRE(set.ParseFromIstream(&file));
  REQUIRE(set.file_size() >= 8);
  return set;
}

void CheckEnum(const pb::EnumDescriptorProto& before, const pb::EnumDescriptor* now) {
  INFO("enum " << before.name());
  REQUIRE(now != nullptr);
  for (const auto& value : before.value()) {
    INFO("value " << value.name());
    const auto* same = now->FindValueByNumber(value.number());
    REQUIRE(same != nullptr);
    CHECK(same->name() == value.name());
  }
}

void CheckMessage(const pb::DescriptorProto& before, const pb::Descriptor* now) {
  INFO("message " << before.name());
  REQUIRE(now != nullptr);
  for (const auto& field : before.field()) {
    INFO("field " << field.name());
    const auto* same = now->FindFieldByNumber(field.number());
    if (same == nullptr) {
      // Removed: number and name are reserved for ever.
      CHECK(now->IsReservedNumber(field.number()));
      CHECK(now->IsReservedName(field.name()));
      continue;
    }
    CHECK(same->name() == field.name());
    CHECK(static_cast<int>(same->type()) == static_cast<int>(field.type()));
    CHECK(static_cast<int>(same->label()) == static_cast<int>(field.label()));
    if (same->message_type() != nullptr)
      CHECK("." + same->message_type()->full_name() == field.type_name());
    if (same->enum_type() != nullptr)
      CHECK("." + same->enum_type()->full_name() == field.type_name());
  }
  for (const auto& nested : before.nested_type())
    CheckMessage(nested, now->FindNestedTypeByName(nested.name()));
  for (const auto& nested : before.enum_type())
    CheckEnum(nested, now->FindEnumTypeByName(nested.name()));
}

// Links the files, so that the pool knows them.
const pb::DescriptorPool* Pool() {
  v1::ListPeersRequest().GetDescriptor();
  v1::WorkRequest().GetDescriptor();
  v1::RunRequest().GetDescriptor();
  return pb::DescriptorPool::generated_pool();
}

TEST_CASE("wire: everything of the released version is still there, with number and type",
          "[golden]") {
  const pb::FileDescriptorSet golden = Golden();
  int messages = 0, methods = 0;
  for (const auto& file : golden.file()) {
    INFO(file.name());
    if (file.name() == "mentor/v1/client_config.proto") continue;  // No wire: a file of mentorctl.
    const pb::FileDescriptor* now = Pool()->FindFileByName(file.name());
    REQUIRE(now != nullptr);
    CHECK(now->package() == file.package());
    for (const auto& message : file.message_type()) {
      CheckMessage(message, now->FindMessageTypeByName(message.name()));
      ++messages;
    }
    for (const auto& each : file.enum_type()) CheckEnum(each, now->FindEnumTypeByName(each.name()));
    for (const auto& service : file.service()) {
      INFO("service " << service.name());
      const auto* same = now->FindServiceByName(service.name());
      REQUIRE(same != nullptr);
      for (const auto& method : service.method()) {
        INFO("method " << method.name());
        const auto* call = same->FindMethodByName(method.name());
        REQUIRE(call != nullptr);
        CHECK("." + call->input_type()->full_name() == method.input_type());
        CHECK("." + call->output_type()->full_name() == method.output_type());
        CHECK(call->client_streaming() == method.client_streaming());
        CHECK(call->server_streaming() == method.server_streaming());
        ++methods;
      }
    }
  }
  CHECK(messages > 80);
  CHECK(methods >= 27);
}

TEST_CASE("wire: every method says which role it takes, and looking takes no more than a viewer",
          "[golden]") {
  const auto* service = Pool()->FindServiceByName("mentor.v1.ExperimentService");
  REQUIRE(service != nullptr);
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string name = service->method(i)->name();
    INFO(name);
    const auto role = rpc::RequiredRole("/mentor.v1.ExperimentService/" + name);
    REQUIRE(role);
    const bool looks = name.starts_with("Get") || name.starts_with("List") ||
                       name.starts_with("Watch") || name.starts_with("Query") ||
                       name.starts_with("Download") || name.starts_with("Parse");
    CHECK(*role == (looks ? v1::ROLE_VIEWER : v1::ROLE_OPERATOR));
  }
  CHECK(rpc::RequiredRole("/mentor.v1.RolloutService/Work") == v1::ROLE_ACTOR);
  CHECK(rpc::RequiredRole("/mentor.v1.ShardService/Run") == v1::ROLE_LEARNER);
}

}  // namespace mentor::TEST_FILE
