// Numbers in messages. No streams: their locales belong to all copies of the C++ library in a process, and refusing bad
// input must not depend on which other extensions are loaded.
#pragma once

#include <cstdio>
#include <string>

namespace miniffx {

inline std::string text_of(double value, int digits = 6) {
    char text[40];
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    return text;
}

}  // namespace miniffx
