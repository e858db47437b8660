#include "common/event_file.h"

#include "common/hash.h"
#include "common/spec/spec.h"
#include "common/spec/spec_event.h"
#include "tests/testing.h"
#include "tests/text.h"

using namespace mentor;

TEST_CASE("event file: frames as the format has them", "[unit]") {
  // Length 3, then the CRC-32C of its eight bytes, masked; by hand from the definition.
  const std::string frame = TfRecord("abc");
  REQUIRE(frame.size() == 8 + 4 + 3 + 4);
  CHECK(frame.substr(0, 8) == std::string("\x03\0\0\0\0\0\0\0", 8));
  CHECK(frame.substr(12, 3) == "abc");
  const uint32_t crc = Crc32c("abc");
  CHECK(crc == 0x364b3fb7);  // Published vector.
  const uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(masked >> (8 * i));
  CHECK(frame.substr(15) == bytes);
  CHECK(ToHex(TfRecord("")) ==
        "0000000000000000"
        "29039807"
        "d8ea82a2");
}

TEST_CASE("event file: an event byte by byte", "[unit]") {
  const std::string event = ScalarEvent(1.0, 300, {{"t", 0.5}});
  // wall_time 1.0, step 300, summary { value { tag "t" simple_value 0.5 } }
  CHECK(ToHex(event.substr(12, event.size() - 16)) ==
        "09000000000000f03f"
        "10ac02"
        "2a0a"
        "0a08"
        "0a0174"
        "150000003f");
}

TEST_CASE("event file: what was written is read again, up to a torn or damaged frame", "[unit]") {
  const std::string head = EventFileHeader(7) + ScalarEvent(8, 1, {{"success", 0.25}, {"kl", -3}});
  const std::string file = head + ScalarEvent(9, 2, {{"success", 0.5}});
  const EventFileContents all = ReadEventFile(file);
  CHECK(all.bytes == file.size());
  REQUIRE(all.events.size() == 3);
  CHECK(all.events[0].file_version() == "brain.Event:2");
  CHECK(all.events[0].wall_time() == 7);
  CHECK(all.events[1].step() == 1);
  REQUIRE(all.events[1].summary().value_size() == 2);
  CHECK(all.events[1].summary().value(0).tag() == "success");
  CHECK(all.events[1].summary().value(0).simple_value() == 0.25f);
  CHECK(all.events[1].summary().value(1).simple_value() == -3.0f);
  CHECK(all.events[2].step() == 2);

  for (size_t size = head.size(); size < file.size(); ++size) {
    const EventFileContents torn = ReadEventFile(file.substr(0, size));
    CHECK(torn.bytes == head.size());
    CHECK(torn.events.size() == 2);
  }
  for (size_t i = head.size(); i < file.size(); ++i) {
    std::string damaged = file;
    damaged[i] ^= 1;
    CHECK(ReadEventFile(damaged).bytes == head.size());
  }
  CHECK(ReadEventFile("").events.empty());
}

TEST_CASE("event file: metrics are in the groups that mentor-sync has", "[unit]") {
  CHECK(GroupedTag("seg0") == "lifetimes/seg0");
  CHECK(GroupedTag("seg12/door-close") == "lifetimes/seg12/door-close");
  CHECK(GroupedTag("success_episode_3") == "lifetimes/success_episode_3");
  CHECK(GroupedTag("env_steps") == kEnvStepsTag);
  CHECK(GroupedTag("wall_seconds") == "time/wall_seconds");
  CHECK(GroupedTag("peak_memory_bytes") == "time/peak_memory_bytes");
  CHECK(GroupedTag("reward_mean/reach") == "outer/reward_mean/reach");
  CHECK(GroupedTag("entropy") == "outer/entropy");
}

TEST_CASE("event file: the spec as settings and as a text", "[unit]") {
  v1::ExperimentSpec spec =
      LoadSpec(
          "display_name: 'a b' benchmark { name: 'point_reach' wrapper { name: 'x' } } "
          "rule { option { name: 'learning_rate' value: '1e-3' } }")
          .value();
  const EventFileContents contents =
      ReadEventFile(SpecEvent(9, {.uid = "u", .began_s = 7.5, .spec = spec}));
  REQUIRE(contents.events.size() == 1);
  const tensorboard::Event& event = contents.events[0];
  CHECK(event.wall_time() == 9);
  CHECK(event.step() == 0);
  REQUIRE(event.summary().value_size() == 2);
  const auto& settings = event.summary().value(0);
  CHECK(settings.tag() == "_hparams_/session_start_info");
  CHECK(settings.metadata().plugin_data().plugin_name() == "hparams");
  tensorboard::HParamsPluginData data;
  REQUIRE(data.ParseFromString(settings.metadata().plugin_data().content()));
  const auto& session = data.session_start_info();
  CHECK(session.group_name() == "u");
  CHECK(session.start_time_secs() == 7.5);
  CHECK(session.hparams().at("display_name").string_value() == "a b");
  CHECK(session.hparams().at("rule.learning_rate").number_value() == 1e-3);
  CHECK(session.hparams().at("benchmark.wrapper.0.name").string_value() == "x");
  CHECK(session.hparams().at("lifetime.iterations").number_value() == 3);  // The default.
  CHECK(session.hparams().at("evaluation.best_weights").bool_value());
  const auto& text = event.summary().value(1);
  CHECK(text.tag() == kSpecTag);
  CHECK(text.metadata().plugin_data().plugin_name() == "text");
  REQUIRE(text.tensor().string_val_size() == 1);
  CHECK(testing::Contains(text.tensor().string_val(0), "    lifetime {\n      iterations: 3\n"));
}
