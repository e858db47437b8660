#include "common/option_page.h"

#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

namespace mentor {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kColumns = 100;
constexpr size_t kNameColumns = 14;

}  // namespace

Json OptionsJson(const OptionTable& options) {
  Json list = Json::array();
  for (const OptionInfo& option : options) {
    Json item = {{"name", option.name}, {"default", option.default_value}};
    switch (option.kind) {
      case OptionInfo::Kind::kNumber:
      case OptionInfo::Kind::kInteger:
        item["kind"] = option.kind == OptionInfo::Kind::kNumber ? "number" : "integer";
        item["min"] = option.min;
        item["max"] = option.max;
        break;
      case OptionInfo::Kind::kFlag:
        item["kind"] = "flag";
        break;
      case OptionInfo::Kind::kChoice:
        item["kind"] = "choice";
        item["choices"] = option.choices;
        break;
      case OptionInfo::Kind::kText:
        item["kind"] = "text";
        item["bytes_max"] = static_cast<int64_t>(option.max);
        item["required"] = option.required;
        break;
      case OptionInfo::Kind::kOthers:
        item["kind"] = "others";
        break;
    }
    item["help"] = option.help;
    list.push_back(std::move(item));
  }
  return list;
}

void AddField(std::string_view name, const std::string& text, std::string* page) {
  std::string head(name);
  for (const auto paragraph : absl::StrSplit(text, '\n')) {
    std::string line = absl::StrFormat("  %-*s", kNameColumns, head);
    head.clear();
    bool empty = true;
    for (const auto word : absl::StrSplit(paragraph, ' ', absl::SkipEmpty())) {
      if (!empty && line.size() + 1 + word.size() > kColumns) {
        absl::StrAppend(page, line, "\n");
        line.assign(2 + kNameColumns, ' ');
        empty = true;
      }
      absl::StrAppend(&line, empty ? "" : " ", word);
      empty = false;
    }
    absl::StrAppend(page, line, "\n");
  }
}

void AddOptions(const Json& options, std::string* page) {
  if (options.empty()) AddField("options", "none", page);
  std::string head = "options";
  for (const Json& option : options) {
    const std::string kind = option["kind"], name = option["name"], help = option["help"];
    std::string usual = option["default"], legal = kind;
    if (kind == "text") {
      usual = option["required"].get<bool>() ? "required" : "default '" + usual + "'";
      legal = absl::StrCat("text of at most ", option["bytes_max"].get<int64_t>(), " bytes");
    } else {
      usual = "default " + usual;
      if (kind == "flag") {
        legal = "true or false";
      } else if (kind == "choice") {
        legal = absl::StrJoin(option["choices"].get<std::vector<std::string>>(), " | ");
      } else if (kind != "others") {
        absl::StrAppendFormat(&legal, " from %g to %g", option["min"].get<double>(),
                              option["max"].get<double>());
      }
    }
    AddField(std::exchange(head, ""),
             kind == "others" ? "any other: " + help
                              : absl::StrCat(name, ": ", usual, "; ", legal, "\n", help),
             page);
  }
}

void AddListLine(const std::string& name, const std::string& summary, std::string* page) {
  absl::StrAppendFormat(page, "  %-28s %s\n", name, summary);
}

}  // namespace mentor
