// What a person means who writes protobuf's text format by hand. Beside the parser, which decides
// what is legal, this walks the text along the type of its message: it writes short forms out, and
// says what is wrong by fields and values where the parser speaks of tokens. Pure; threads may
// share.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/descriptor.h>

namespace mentor::spec {

// As protobuf's tokenizer counts: from 0, a tab goes on to the next multiple of 8.
struct TextPlace {
  int line = 0;
  int column = 0;
  auto operator<=>(const TextPlace&) const = default;
};

struct Complaint {
  TextPlace place;
  std::string message;
  bool is_last = false;  // What follows it cannot be understood.
};

struct Words {
  // Part of a text that was written out.
  struct Edit {
    size_t offset = 0;
    size_t length = 0;
    std::string text;
  };
  std::vector<Edit> edits;            // By offset. None of them adds or removes a line.
  std::vector<Complaint> complaints;  // Of a text that the parser refuses; by place, but for some
                                      // about a group's beginning.
};

// The short forms: an option's value without quotes, and in a message that has options one of them
// as if it were a field, as --set takes it: rule { learning_rate: 3e-4 }. A name that is near a
// field's stays as it is, for the parser to refuse.
Words WalkText(std::string_view text, const google::protobuf::Descriptor& type);

std::string Edited(std::string_view text, const std::vector<Words::Edit>& edits);
// Where a place of the edited text is in the text.
TextPlace PlaceBefore(std::string_view text, const std::vector<Words::Edit>& edits,
                      TextPlace edited);
// Where the name begins that stands before a place.
TextPlace PlaceOfName(std::string_view text, std::string_view name, TextPlace behind);

}  // namespace mentor::spec
