// Interprets hand-written protobuf text format. The parser decides what is legal. This code walks
// the text along the message type before the parser. It expands short forms, and explains errors by
// fields and values where the parser would mention tokens. Pure; threads may share.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/descriptor.h>

namespace mentor::spec {

// Counts as protobuf's tokenizer does: from 0; a tab advances to the next multiple of 8.
struct TextPlace {
  int line = 0;
  int column = 0;
  auto operator<=>(const TextPlace&) const = default;
};

struct Complaint {
  TextPlace place;
  std::string message;
  bool is_last = false;  // The text after it cannot be interpreted.
};

struct Words {
  // An expanded short form.
  struct Edit {
    size_t offset = 0;
    size_t length = 0;
    std::string text;
  };
  std::vector<Edit> edits;  // Sorted by offset. Edits never add or remove a line.
  // For a text that the parser refuses. Sorted by place, except for some about a group's beginning.
  std::vector<Complaint> complaints;
};

// Expands the short forms. An option's value may lack quotes. In a message with options, an option
// may be written like a field, as with --set. For instance, rule { learning_rate: 3e-4 }. A name
// near a field's name is not expanded, so that the parser refuses it.
Words WalkText(std::string_view text, const google::protobuf::Descriptor& type);

std::string Edited(std::string_view text, const std::vector<Words::Edit>& edits);
// Maps a place of the edited text to the original text.
TextPlace PlaceBefore(std::string_view text, const std::vector<Words::Edit>& edits,
                      TextPlace edited);
// Returns where the name before a place begins.
TextPlace PlaceOfName(std::string_view text, std::string_view name, TextPlace behind);

}  // namespace mentor::spec
