// What messages about specs are made of: quotations of what somebody wrote, names that were meant,
// values that would be right. Pure functions; threads may share.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <google/protobuf/descriptor.h>

#include "mentor/v1/spec.pb.h"

namespace mentor::spec {

bool IsUtf8(std::string_view text);
// The user's text, shortened and printable, whatever bytes it has.
std::string Printable(std::string_view text, size_t bytes_max);
// The same in quotes, short enough for a sentence.
std::string Quote(std::string_view text);
std::string Number(double value);
// "path.name"
std::string Join(std::string_view path, std::string_view name);

// "did you mean 'x'?" or the list of everything there is.
std::string FieldHint(const google::protobuf::Descriptor& type, std::string_view wrong);
// Values that may be written: all but the one that stands for "never set". `wrong` is the one that
// was written; those that are near it are named too.
std::string EnumChoices(const google::protobuf::EnumDescriptor& type, std::string_view wrong = "");
// "; the default is 3", or nothing.
std::string DefaultText(const google::protobuf::FieldDescriptor& field);
// "a number of at least 1 and below 2"
std::string BoundsText(const google::protobuf::FieldDescriptor& field, const v1::Range& range);
// What may be written for the field, where `given` was.
std::string ExpectedText(const google::protobuf::FieldDescriptor& field,
                         std::string_view given = "");
// The field of a message's named options; null where it has none.
const google::protobuf::FieldDescriptor* OptionList(const google::protobuf::Descriptor& type);

}  // namespace mentor::spec
