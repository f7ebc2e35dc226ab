#include <stdexcept>

#include "check.hpp"
#include "miniffx/capacity.hpp"

namespace {

void buckets() {
    const std::int64_t sizes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40};
    const std::int64_t* size = sizes;
    for (std::int64_t count = 0; count <= 40; ++count) {
        if (count > *size) ++size;
        CHECK(miniffx::bucket(count) == *size);
    }
    CHECK(miniffx::bucket((std::int64_t{1} << 40) + 1) == std::int64_t{5} << 38);
    constexpr std::int64_t kMost = std::int64_t{1} << 62;
    CHECK(miniffx::bucket(kMost) == kMost);
    CHECK_THROWS(std::invalid_argument, "`count`", miniffx::bucket(kMost + 1));
    CHECK_THROWS(std::invalid_argument, "`count`", miniffx::bucket(-1));
}

void capacities() {
    const miniffx::RowCounts counts{{9, 0}, {9, 0, 5, 17}, {1, 33, 11}};
    const auto capacity = miniffx::capacity_for(counts, 9, {{0, 0, 1}, {1, 0, 0}, {1, 1, 1}});
    CHECK(capacity.rows == std::vector<std::int64_t>({9, 0}));  // no more than there are atoms
    CHECK(capacity.columns == std::vector<std::vector<std::int32_t>>({{0, 10, 10}, {0, 5, 25}}));
    CHECK(capacity.triples == std::vector<std::vector<std::int32_t>>({{1}, {40, 12}}));
    CHECK(miniffx::capacity_for({}, 0, {}).rows.empty());
    constexpr std::int32_t kHuge = (1 << 30) + 1;
    CHECK_THROWS(std::invalid_argument, "2^31", miniffx::capacity_for({{1, 1}, {kHuge, kHuge, 0, 0}, {}}, 2, {}));
    CHECK_THROWS(std::invalid_argument, "2^31",
                 miniffx::capacity_for({{1}, {1}, {(1 << 30) + (1 << 29) + (1 << 28) + 1}}, 1, {{0, 0, 0}}));
}

}  // namespace

int main() {
    buckets();
    capacities();
    return testing::finish();
}
