#include "common/rpc/chunks.h"

#include <vector>

#include "tests/testing.h"

namespace mentor::rpc::TEST_FILE {

std::string Bytes(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 2654435761u) >> 13);
  return bytes;
}

std::vector<v1::Chunk> Split(const std::string& bytes, uint64_t id, size_t chunk_bytes) {
  std::vector<v1::Chunk> chunks;
  Splitter splitter(bytes, id, chunk_bytes);
  while (!splitter.done()) splitter.Next(&chunks.emplace_back());
  return chunks;
}

TEST_CASE("chunks: what was split is put together again", "[unit]") {
  Reassembler reassembler({.chunk_bytes_max = 100, .message_bytes_max = 1000});
  uint64_t id = 0;
  for (const size_t size : {1, 99, 100, 101, 199, 200, 201, 1000}) {
    const std::string bytes = Bytes(size);
    const auto chunks = Split(bytes, ++id, 100);
    CHECK(chunks.size() == (size + 99) / 100);
    for (size_t i = 0; i < chunks.size(); ++i) {
      const auto whole = reassembler.Add(chunks[i]);
      REQUIRE(whole.ok());
      const bool last = i + 1 == chunks.size();
      CHECK(reassembler.pending() == !last);
      REQUIRE(whole->has_value() == last);
      if (last) CHECK(**whole == bytes);
    }
  }
}

TEST_CASE("chunks: every broken rule is an error", "[unit]") {
  struct Case {
    const char* what;
    void (*damage)(std::vector<v1::Chunk>*);
    absl::StatusCode code;
  };
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  const Case cases[] = {
      {"an empty piece", [](auto* c) { (*c)[1].clear_data(); }, kInvalid},
      {"a piece that is too long", [](auto* c) { (*c)[1].mutable_data()->append(1, 'x'); },
       kInvalid},
      {"the first piece is missing", [](auto* c) { c->erase(c->begin()); }, kInvalid},
      {"a middle piece is missing", [](auto* c) { c->erase(c->begin() + 1); }, kInvalid},
      {"a piece comes twice", [](auto* c) { c->insert(c->begin(), (*c)[0]); }, kInvalid},
      {"pieces in the wrong order", [](auto* c) { std::swap((*c)[1], (*c)[2]); }, kInvalid},
      {"a piece of another message", [](auto* c) { (*c)[1].set_stream_id(9); }, kInvalid},
      {"the number of an earlier message",
       [](auto* c) {
         for (auto& x : *c) x.set_stream_id(1);
       },
       kInvalid},
      {"last too early", [](auto* c) { (*c)[1].set_last(true); }, kInvalid},
      {"no last", [](auto* c) { c->back().set_last(false); }, kInvalid},
      {"more than declared", [](auto* c) { (*c)[0].set_total_bytes(250); }, kInvalid},
      {"less than declared", [](auto* c) { (*c)[0].set_total_bytes(400); }, kInvalid},
      {"no declaration", [](auto* c) { (*c)[0].clear_total_bytes(); }, kInvalid},
      {"beyond the limit", [](auto* c) { (*c)[0].set_total_bytes(1001); },
       absl::StatusCode::kResourceExhausted},
      {"far beyond", [](auto* c) { (*c)[0].set_total_bytes(~uint64_t{0}); },
       absl::StatusCode::kResourceExhausted},
  };
  for (const Case& test : cases) {
    INFO(test.what);
    Reassembler reassembler({.chunk_bytes_max = 100, .message_bytes_max = 1000});
    REQUIRE(reassembler.Add(Split("x", 1, 100)[0]).ok());  // Message 1 is over.
    auto chunks = Split(Bytes(300), 2, 100);
    test.damage(&chunks);
    absl::Status first_error;
    for (const auto& chunk : chunks) {
      if (const auto whole = reassembler.Add(chunk); !whole.ok()) {
        first_error = whole.status();
        break;
      }
    }
    CHECK(first_error.code() == test.code);
    INFO(first_error);
    CHECK(!first_error.message().empty());
  }
}

}  // namespace mentor::rpc::TEST_FILE
