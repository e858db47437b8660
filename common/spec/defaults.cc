#include "common/spec/defaults.h"

#include "common/check.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::spec {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using CppType = FieldDescriptor::CppType;

namespace {

bool IsRequired(const FieldDescriptor& field) {
  return field.options().GetExtension(v1::range).required();
}

// True if absence has a meaning: the part is optional, and its name has no default.
bool MayBeAbsent(const FieldDescriptor& field) {
  if (IsRequired(field)) return false;
  const Descriptor& type = *field.message_type();
  for (int i = 0; i < type.field_count(); ++i) {
    if (IsRequired(*type.field(i)) && !type.field(i)->has_default_value()) return true;
  }
  return false;
}

}  // namespace

void FillDefaults(Message* message) {
  const Descriptor& type = *message->GetDescriptor();
  const Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    const bool is_message = field->cpp_type() == CppType::CPPTYPE_MESSAGE;
    if (field->is_repeated()) {
      for (int k = 0; is_message && k < reflection.FieldSize(*message, field); ++k)
        FillDefaults(reflection.MutableRepeatedMessage(message, field, k));
      continue;
    }
    if (is_message) {
      if (!reflection.HasField(*message, field) && MayBeAbsent(*field)) continue;
      FillDefaults(reflection.MutableMessage(message, field));
      continue;
    }
    if (!field->has_default_value() || reflection.HasField(*message, field)) continue;
    switch (field->cpp_type()) {
      case CppType::CPPTYPE_DOUBLE:
        reflection.SetDouble(message, field, field->default_value_double());
        break;
      case CppType::CPPTYPE_UINT32:
        reflection.SetUInt32(message, field, field->default_value_uint32());
        break;
      case CppType::CPPTYPE_UINT64:
        reflection.SetUInt64(message, field, field->default_value_uint64());
        break;
      case CppType::CPPTYPE_BOOL:
        reflection.SetBool(message, field, field->default_value_bool());
        break;
      case CppType::CPPTYPE_STRING:
        reflection.SetString(message, field, field->default_value_string());
        break;
      case CppType::CPPTYPE_ENUM:
        reflection.SetEnum(message, field, field->default_value_enum());
        break;
      default:
        MENTOR_CHECK(false);
    }
  }
}

}  // namespace mentor::spec
