#include "common/spec/canonical.h"

#include <algorithm>
#include <vector>

#include <absl/strings/str_format.h>

#include "mentor/v1/spec.pb.h"

namespace mentor {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using CppType = FieldDescriptor::CppType;

// message = "{" {number "=" value ";"} "}", fields by number, elements of a list one after another.
// value   = message | integer | double as "%a" | length ":" bytes
void WriteCanonical(const Message& message, std::string* out);

void WriteValue(const Message& message, const FieldDescriptor& field, int index, std::string* out) {
  const Reflection& reflection = *message.GetReflection();
  const auto get = [&](auto singular, auto repeated) {
    return index < 0 ? (reflection.*singular)(message, &field)
                     : (reflection.*repeated)(message, &field, index);
  };
  absl::StrAppendFormat(out, "%d=", field.number());
  switch (field.cpp_type()) {
    case CppType::CPPTYPE_INT32:
      absl::StrAppendFormat(out, "%d", get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32));
      break;
    case CppType::CPPTYPE_INT64:
      absl::StrAppendFormat(out, "%d", get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64));
      break;
    case CppType::CPPTYPE_UINT32:
      absl::StrAppendFormat(out, "%d", get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32));
      break;
    case CppType::CPPTYPE_UINT64:
      absl::StrAppendFormat(out, "%d", get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64));
      break;
    case CppType::CPPTYPE_BOOL:
      absl::StrAppendFormat(out, "%d",
                            int{get(&Reflection::GetBool, &Reflection::GetRepeatedBool)});
      break;
    case CppType::CPPTYPE_ENUM:
      absl::StrAppendFormat(out, "%d",
                            get(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue));
      break;
    case CppType::CPPTYPE_DOUBLE:  // Minus zero means the same as zero everywhere in a spec.
      absl::StrAppendFormat(out, "%a",
                            get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble) + 0.0);
      break;
    case CppType::CPPTYPE_FLOAT:
      absl::StrAppendFormat(out, "%a",
                            get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat) + 0.0);
      break;
    case CppType::CPPTYPE_STRING: {
      const std::string text = get(&Reflection::GetString, &Reflection::GetRepeatedString);
      absl::StrAppendFormat(out, "%d:", text.size());
      out->append(text);
      break;
    }
    case CppType::CPPTYPE_MESSAGE:
      if (index < 0) {
        WriteCanonical(reflection.GetMessage(message, &field), out);
      } else {
        WriteCanonical(reflection.GetRepeatedMessage(message, &field, index), out);
      }
      break;
  }
  *out += ';';
}

void WriteCanonical(const Message& message, std::string* out) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);  // Sorted by number.
  *out += '{';
  for (const FieldDescriptor* field : fields) {
    if (!field->is_repeated()) {
      WriteValue(message, *field, -1, out);
      continue;
    }
    std::vector<std::string> elements(reflection.FieldSize(message, field));
    for (size_t i = 0; i < elements.size(); ++i)
      WriteValue(message, *field, static_cast<int>(i), &elements[i]);
    // Options and maps are sets, and maps have no fixed order in memory. The order of other lists
    // has a meaning.
    if (field->is_map() || field->message_type() == v1::Option::descriptor())
      std::sort(elements.begin(), elements.end());
    for (const std::string& element : elements) *out += element;
  }
  *out += '}';
}

}  // namespace

std::string CanonicalText(const Message& message) {
  std::string text;
  WriteCanonical(message, &text);
  return text;
}

}  // namespace mentor
