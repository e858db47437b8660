// Settings of registered parts (environments, signal networks, outer rules): each part declares a
// table of names with defaults, ranges and one line of help; specs set them by text. The table
// serves validation, --help and docs alike.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/violations.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

struct OptionInfo {
  enum class Kind { kNumber, kInteger, kFlag, kChoice };
  std::string name;
  Kind kind = Kind::kNumber;
  std::string default_value;  // As text; must itself be legal.
  double min = -1e300;        // Inclusive, for numbers and integers.
  double max = 1e300;
  std::vector<std::string> choices = {};  // For kChoice.
  std::string help = {};
};

using OptionTable = std::vector<OptionInfo>;

// Entries of tables, in short. A choice's default is its first.
OptionInfo NumberOption(std::string name, std::string value, double min, double max,
                        std::string help);
OptionInfo IntegerOption(std::string name, std::string value, double min, double max,
                         std::string help);
OptionInfo FlagOption(std::string name, bool value, std::string help);
OptionInfo ChoiceOption(std::string name, std::vector<std::string> choices, std::string help);

// Values after defaults. Reading a name that the table does not declare is our bug (MENTOR_CHECK).
class OptionValues {
 public:
  // Appends a violation "FIELD_PATH.NAME: ..." for each unknown name, repeated name, wrong type or
  // value out of range.
  static OptionValues Parse(const OptionTable& table,
                            const google::protobuf::RepeatedPtrField<v1::Option>& options,
                            std::string_view field_path, Violations* violations);

  double Number(std::string_view name) const;
  int64_t Integer(std::string_view name) const;
  bool Flag(std::string_view name) const;
  const std::string& Choice(std::string_view name) const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace mentor
