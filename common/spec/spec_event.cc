#include "common/spec/spec_event.h"

#include <cmath>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_replace.h>

#include "common/event_file.h"
#include "common/spec/differences.h"
#include "common/spec/spec.h"

namespace mentor {
namespace {

// Element types of a tensor.
constexpr int kFloat = 1, kText = 7;

google::protobuf::Value SettingValue(const std::string& text) {
  google::protobuf::Value value;
  double number = 0;
  if (text == "true" || text == "false") {
    value.set_bool_value(text == "true");
  } else if (absl::SimpleAtod(text, &number) && std::isfinite(number)) {
    value.set_number_value(number);
  } else {
    value.set_string_value(text);
  }
  return value;
}

}  // namespace

std::string SpecEvent(double wall_time_s, const DescribedRun& run) {
  const v1::ExperimentSpec spec = WithDefaults(run.spec);
  tensorboard::HParamsPluginData plugin;
  tensorboard::SessionStartInfo& session = *plugin.mutable_session_start_info();
  // Replaces "[0]" by ".0", as for loggers that accept no brackets.
  for (const auto& [path, text] : FlatSpec(spec)) {
    (*session.mutable_hparams())[absl::StrReplaceAll(path, {{"[", "."}, {"]", ""}})] =
        SettingValue(text);
  }
  session.set_group_name(run.uid);
  session.set_start_time_secs(run.began_s);

  tensorboard::Event event;
  event.set_wall_time(wall_time_s);
  tensorboard::Summary::Value& settings = *event.mutable_summary()->add_value();
  settings.set_tag("_hparams_/session_start_info");
  settings.mutable_tensor()->set_dtype(kFloat);
  // A dimension of length 0: no values.
  settings.mutable_tensor()->mutable_tensor_shape()->add_dim();
  settings.mutable_metadata()->mutable_plugin_data()->set_plugin_name("hparams");
  settings.mutable_metadata()->mutable_plugin_data()->set_content(plugin.SerializeAsString());
  tensorboard::Summary::Value& text = *event.mutable_summary()->add_value();
  text.set_tag(kSpecTag);
  text.mutable_tensor()->set_dtype(kText);
  text.mutable_tensor()->mutable_tensor_shape();
  const std::string lines(absl::StripTrailingAsciiWhitespace(PrintSpec(spec)));
  // Markdown shows indented lines verbatim.
  text.mutable_tensor()->add_string_val("    " + absl::StrReplaceAll(lines, {{"\n", "\n    "}}));
  text.mutable_metadata()->mutable_plugin_data()->set_plugin_name("text");
  text.mutable_metadata()->set_display_name(kSpecTag);
  return TfRecord(event.SerializeAsString());
}

}  // namespace mentor
