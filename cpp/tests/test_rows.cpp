#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include "check.hpp"
#include "miniffx/rows.hpp"
#include "miniffx/triples.hpp"
#include "past_caches.hpp"

namespace {

using testing::Random;
using testing::System;
using Kind = std::array<std::int32_t, 3>;

constexpr std::int32_t kGuard = -12345;

std::size_t to_size(std::int64_t x) { return static_cast<std::size_t>(x); }

// An array with guards around it.
struct Guarded {
    explicit Guarded(std::int64_t size) : data(to_size(size) + 16, kGuard) {}
    std::int32_t* begin() { return data.data() + 8; }
    std::int32_t operator[](std::int64_t k) const { return data[to_size(k) + 8]; }
    bool intact() const {
        return std::all_of(data.begin(), data.begin() + 8, [](std::int32_t x) { return x == kGuard; }) &&
               std::all_of(data.end() - 8, data.end(), [](std::int32_t x) { return x == kGuard; });
    }
    bool filled() const { return std::find(data.begin() + 8, data.end() - 8, kGuard) == data.end() - 8; }
    std::vector<std::int32_t> data;
};

// Rows and triples with memory of their own.
struct Rows {
    struct Row {
        std::vector<std::int32_t> centers, columns;
        Guarded neighbors, shifts, counts;
    };
    struct Triple {
        Kind kind;
        std::int64_t capacity;
        Guarded first, second, count;
    };
    std::vector<Row> rows;
    std::vector<Triple> triples;
    bool overflow = false;
};

struct Capacities {
    std::vector<std::int32_t> pairs;    // [S, S]
    std::vector<std::int32_t> triples;  // [kinds]
};

Rows fill(const miniffx::Neighbors& neighbors, const std::vector<std::int32_t>& species, int n_species,
          const std::vector<Kind>& kinds, const Capacities& capacities, double cutoff, bool closed, int padding,
          int threads) {
    Rows result;
    for (int a = 0; a < n_species; ++a) {
        std::vector<std::int32_t> centers, columns = {0};
        for (std::int32_t i = 0; i < static_cast<std::int32_t>(species.size()); ++i) {
            if (species[to_size(i)] == a) centers.push_back(i);
        }
        for (int k = 0; k < padding; ++k) centers.push_back(k % 2 == 0 ? -1 : static_cast<int>(species.size()));
        for (int b = 0; b < n_species; ++b) {
            columns.push_back(columns.back() + capacities.pairs[to_size(a * n_species + b)]);
        }
        const auto n = static_cast<std::int64_t>(centers.size());
        const std::int64_t width = columns.back();
        result.rows.push_back({centers, columns, Guarded(n * width), Guarded(3 * n * width), Guarded(n * n_species)});
    }
    for (std::size_t m = 0; m < kinds.size(); ++m) {
        const auto n = static_cast<std::int64_t>(result.rows[to_size(kinds[m][0])].centers.size());
        const std::int64_t capacity = capacities.triples[m];
        result.triples.push_back({kinds[m], capacity, Guarded(n * capacity), Guarded(n * capacity), Guarded(n)});
    }
    std::vector<miniffx::RowTarget> rows;
    for (auto& row : result.rows) {
        rows.push_back({static_cast<std::int64_t>(row.centers.size()), row.centers.data(), row.columns.data(),
                        row.neighbors.begin(), row.shifts.begin(), row.counts.begin()});
    }
    std::vector<miniffx::TripleTarget> triples;
    for (auto& t : result.triples) {
        triples.push_back({t.kind, t.capacity, t.first.begin(), t.second.begin(), t.count.begin()});
    }
    result.overflow = miniffx::fill_rows(neighbors, species.data(), rows, triples, cutoff, closed, threads);
    for (const auto& row : result.rows) {
        CHECK(row.neighbors.intact() && row.shifts.intact() && row.counts.intact());
        CHECK(row.neighbors.filled() && row.shifts.filled() && row.counts.filled());
    }
    for (const auto& t : result.triples) {
        CHECK(t.first.intact() && t.second.intact() && t.count.intact());
        CHECK(t.first.filled() && t.second.filled() && t.count.filled());
    }
    return result;
}

// Rows against the plain lists: what is there must be a prefix of what belongs there, all of it without
// overflow.
void check_rows(const Rows& rows, const miniffx::Pairs& pairs, const std::vector<std::int32_t>& species, double cutoff,
                bool closed) {
    const auto n_species = static_cast<std::int64_t>(rows.rows.size());
    bool lost = false;
    for (std::size_t a = 0; a < rows.rows.size(); ++a) {
        const Rows::Row& r = rows.rows[a];
        const std::int64_t width = r.columns.back();
        for (std::int64_t row = 0; row < static_cast<std::int64_t>(r.centers.size()); ++row) {
            const std::int32_t center = r.centers[to_size(row)];
            const bool padding = center < 0 || center >= pairs.n_atoms;
            std::vector<std::vector<std::int64_t>> groups(rows.rows.size());
            for (std::int64_t p = 0; !padding && p < pairs.size(); ++p) {
                const std::int32_t b = species[to_size(pairs.j[p])];
                if (pairs.i[p] == center && b >= 0) groups[to_size(b)].push_back(p);
            }
            std::vector<std::int64_t> pair_at(to_size(width), -1);
            for (std::int64_t b = 0; b < n_species; ++b) {
                auto& group = groups[to_size(b)];
                const std::int64_t begin = r.columns[to_size(b)], room = r.columns[to_size(b) + 1] - begin;
                if (static_cast<std::int64_t>(group.size()) > room) {
                    lost = true;
                    group.resize(to_size(room));
                }
                CHECK(r.counts[row * n_species + b] == static_cast<std::int32_t>(group.size()));
                for (std::size_t k = 0; k < group.size(); ++k) pair_at[to_size(begin) + k] = group[k];
            }
            for (std::int64_t column = 0; column < width; ++column) {
                const std::int64_t p = pair_at[to_size(column)], slot = row * width + column;
                CHECK(r.neighbors[slot] == (p >= 0 ? pairs.j[p] : padding ? 0 : center));
                for (int c = 0; c < 3; ++c) {
                    CHECK(r.shifts[3 * slot + c] == (p >= 0 ? pairs.shift[3 * p + c] : 0));
                }
            }
            for (const Rows::Triple& t : rows.triples) {
                if (to_size(t.kind[0]) != a) continue;
                std::vector<std::array<std::int64_t, 2>> expected;
                const auto begin_b = r.columns[to_size(t.kind[1])], end_b = r.columns[to_size(t.kind[1]) + 1];
                const auto begin_c = r.columns[to_size(t.kind[2])], end_c = r.columns[to_size(t.kind[2]) + 1];
                for (std::int64_t u = begin_b; u < end_b; ++u) {
                    for (std::int64_t v = t.kind[1] == t.kind[2] ? u + 1 : begin_c; v < end_c; ++v) {
                        if (pair_at[to_size(u)] < 0 || pair_at[to_size(v)] < 0) continue;
                        const double* du = pairs.vector.data() + 3 * pair_at[to_size(u)];
                        const double* dv = pairs.vector.data() + 3 * pair_at[to_size(v)];
                        double uu = 0, vv = 0, uv = 0;
                        for (int c = 0; c < 3; ++c) {
                            uu += du[c] * du[c];
                            vv += dv[c] * dv[c];
                            uv += (dv[c] - du[c]) * (dv[c] - du[c]);
                        }
                        const double most = cutoff * cutoff;
                        if (uu < most && vv < most && (!closed || uv < most)) expected.push_back({u, v});
                    }
                }
                if (static_cast<std::int64_t>(expected.size()) > t.capacity) {
                    lost = true;
                    expected.resize(to_size(t.capacity));
                }
                CHECK(t.count[row] == static_cast<std::int32_t>(expected.size()));
                expected.resize(to_size(t.capacity), {0, 0});
                for (std::int64_t k = 0; k < t.capacity; ++k) {
                    CHECK(t.first[row * t.capacity + k] == expected[to_size(k)][0]);
                    CHECK(t.second[row * t.capacity + k] == expected[to_size(k)][1]);
                }
            }
        }
    }
    CHECK(rows.overflow == lost);
}

bool same(const Rows& u, const Rows& v) {
    bool equal = u.overflow == v.overflow;
    for (std::size_t a = 0; a < u.rows.size(); ++a) {
        equal = equal && u.rows[a].neighbors.data == v.rows[a].neighbors.data &&
                u.rows[a].shifts.data == v.rows[a].shifts.data && u.rows[a].counts.data == v.rows[a].counts.data;
    }
    for (std::size_t m = 0; m < u.triples.size(); ++m) {
        equal = equal && u.triples[m].first.data == v.triples[m].first.data &&
                u.triples[m].second.data == v.triples[m].second.data &&
                u.triples[m].count.data == v.triples[m].count.data;
    }
    return equal;
}

void against_the_lists() {
    Random random(1);
    const std::vector<Kind> kinds = {{0, 0, 0}, {0, 0, 1}, {1, 0, 2}, {2, 1, 1}, {1, 2, 2}, {0, 1, 2}};
    for (int round = 0; round < 12; ++round) {
        const System s = testing::random_system(random, 4 + 8 * round, 5, 2.4);
        std::vector<std::int32_t> species;
        for (std::int64_t i = 0; i < s.size(); ++i)
            species.push_back(testing::integer(random, round % 2 == 0 ? -1 : 0, 2));
        // Whether ignored atoms are in the pairs must not matter.
        const auto neighbors = testing::find_neighbors(s, 0, round % 4 == 0 ? species.data() : nullptr);
        const miniffx::Pairs pairs = miniffx::list_pairs(neighbors);
        for (const double cutoff : {0.0, 1.6, 2.4}) {
            const bool closed = round % 3 == 0;
            const miniffx::RowCounts counts =
                miniffx::count_rows(neighbors, species.data(), 3, kinds, cutoff, closed, 1);
            for (std::int32_t of = 0; of < 3; ++of) {
                CHECK(counts.rows[to_size(of)] == std::count(species.begin(), species.end(), of));
            }
            for (const int threads : {2, 8}) {
                const auto again = miniffx::count_rows(neighbors, species.data(), 3, kinds, cutoff, closed, threads);
                CHECK(again.pair_max == counts.pair_max && again.triple_max == counts.triple_max);
            }
            // Just enough, plenty, and too little by one here and there.
            for (const int extra : {0, 2, -1}) {
                Capacities capacities{counts.pair_max, counts.triple_max};
                for (auto& c : capacities.pairs) c = std::max(0, c + extra);
                for (auto& c : capacities.triples) c = std::max(0, c + 3 * extra);
                const Rows rows = fill(neighbors, species, 3, kinds, capacities, cutoff, closed, 3, 1);
                check_rows(rows, pairs, species, cutoff, closed);
                CHECK(extra < 0 || !rows.overflow);
                for (const int threads : {2, 8}) {
                    CHECK(same(rows, fill(neighbors, species, 3, kinds, capacities, cutoff, closed, 3, threads)));
                }
            }
        }
    }
}

// One species and nobody ignored goes another way.
void one_species() {
    Random random(3);
    const System s = testing::random_system(random, 60, 5, 2.4);
    const std::vector<std::int32_t> species(60, 0);
    const auto neighbors = testing::find_neighbors(s);
    const miniffx::Pairs pairs = miniffx::list_pairs(neighbors);
    const std::vector<Kind> kinds = {{0, 0, 0}};
    for (const double cutoff : {0.0, 2.0}) {
        const auto counts = miniffx::count_rows(neighbors, species.data(), 1, kinds, cutoff, true);
        for (const int extra : {0, 3, -1, -4}) {
            Capacities capacities{counts.pair_max, counts.triple_max};
            capacities.pairs[0] += extra;
            const Rows rows = fill(neighbors, species, 1, kinds, capacities, cutoff, true, 2, 2);
            check_rows(rows, pairs, species, cutoff, true);
            CHECK(rows.overflow == (extra < 0));
        }
    }
}

// Arrays that do not fit into the caches are written past them, by rows unless those are too long; mostly padding here.
void larger_than_the_caches() {
    Random random(7);
    const std::vector<Kind> kinds = {{0, 0, 1}, {1, 1, 1}};
    for (const std::int32_t width : {7000, 90'000}) {
        const auto n_atoms = static_cast<int>(80e6 / miniffx::kRowBytes / width);
        const System s = testing::random_system(random, n_atoms, std::cbrt(10.0 * n_atoms), 2.4);
        CHECK(miniffx::kRowBytes * width * n_atoms > miniffx::kCacheBytes || std::isinf(miniffx::kCacheBytes));
        const auto neighbors = testing::find_neighbors(s);
        const miniffx::Pairs pairs = miniffx::list_pairs(neighbors);
        for (const std::int32_t least : {-1, 0}) {
            std::vector<std::int32_t> species;
            for (int i = 0; i < n_atoms; ++i) species.push_back(testing::integer(random, least, 1));
            const auto counts = miniffx::count_rows(neighbors, species.data(), 2, kinds, 2, false);
            for (const std::int32_t less : {0, 1}) {
                const std::int32_t narrow = counts.pair_max[1] - less;
                const Capacities capacities{{width - 3, 3, width - narrow, narrow}, counts.triple_max};
                const Rows rows = fill(neighbors, species, 2, kinds, capacities, 2, false, 3, 1);
                check_rows(rows, pairs, species, 2, false);
                CHECK(same(rows, fill(neighbors, species, 2, kinds, capacities, 2, false, 3, 3)));
            }
        }
        // Of one species.
        const std::vector<std::int32_t> zeros(to_size(n_atoms), 0);
        check_rows(fill(neighbors, zeros, 1, {}, {{width}, {}}, 0, false, 1, 2), pairs, zeros, 0, false);
    }
}

void overflow_is_reported() {
    Random random(2);
    const System s = testing::random_system(random, 30, 4, 2);
    const std::vector<std::int32_t> species(30, 0);
    const auto neighbors = testing::find_neighbors(s);
    const std::vector<Kind> kinds = {{0, 0, 0}};
    const auto counts = miniffx::count_rows(neighbors, species.data(), 1, kinds, 2, true);
    Capacities enough{counts.pair_max, counts.triple_max};
    CHECK(!fill(neighbors, species, 1, kinds, enough, 2, true, 0, 2).overflow);
    for (const int room : {0, 1, counts.pair_max[0] - 1}) {
        CHECK(fill(neighbors, species, 1, kinds, {{room}, counts.triple_max}, 2, true, 0, 2).overflow);
    }
    for (const int room : {0, 1, counts.triple_max[0] - 1}) {
        CHECK(fill(neighbors, species, 1, kinds, {counts.pair_max, {room}}, 2, true, 0, 2).overflow);
    }
}

void no_atoms_and_no_species() {
    const auto neighbors = testing::find_neighbors({"", {}, {}, {}, 2});
    const miniffx::Pairs pairs = miniffx::list_pairs(neighbors);
    const auto counts = miniffx::count_rows(neighbors, nullptr, 2, {{1, 0, 1}}, 1, false);
    CHECK(counts.pair_max == std::vector<std::int32_t>(4, 0) && counts.triple_max == std::vector<std::int32_t>(1, 0));
    check_rows(fill(neighbors, {}, 2, {{1, 0, 1}}, {{1, 2, 3, 4}, {5}}, 1, false, 2, 2), pairs, {}, 1, false);
    CHECK(!fill(neighbors, {}, 0, {}, {}, 0, false, 0, 1).overflow);
}

void centers_are_listed() {
    const std::vector<std::int32_t> species = {1, 0, -1, 1, 1, 7};
    std::vector<std::int32_t> zeros(2, -5), ones(2, -5);
    const auto counts = miniffx::list_centers(6, species.data(), {2, 2, 0}, {zeros.data(), ones.data(), nullptr});
    CHECK(counts == std::vector<std::int64_t>({1, 3, 0}));
    CHECK(zeros == std::vector<std::int32_t>({1, 6}));
    CHECK(ones == std::vector<std::int32_t>({0, 3}));  // one more has no room
    CHECK(miniffx::list_centers(0, nullptr, {2}, {zeros.data()}) == std::vector<std::int64_t>(1, 0));
    CHECK(zeros == std::vector<std::int32_t>(2, 0));
}

void errors() {
    const System s{"", {0, 0, 0, 1, 0, 0}, {}, {}, 2};
    const auto neighbors = testing::find_neighbors(s);
    const std::vector<std::int32_t> species = {0, 1};
    const auto count = [&](int n_species, Kind kind, double cutoff) {
        return miniffx::count_rows(neighbors, species.data(), n_species, {kind}, cutoff, true);
    };
    CHECK_THROWS(std::invalid_argument, "`species`", count(1, {0, 0, 0}, 1));
    CHECK_THROWS(std::invalid_argument, "`n_species`", count(-1, {0, 0, 0}, 1));
    CHECK_THROWS(std::invalid_argument, "`triple_kinds`", count(2, {0, 1, 0}, 1));
    CHECK_THROWS(std::invalid_argument, "`triple_kinds`", count(2, {2, 0, 0}, 1));
    CHECK_THROWS(std::invalid_argument, "`triple_kinds`", count(2, {0, -1, 0}, 1));
    CHECK_THROWS(std::invalid_argument, "`triple_cutoff`", count(2, {0, 0, 0}, 2.1));
    CHECK_THROWS(std::invalid_argument, "`triple_cutoff`", count(2, {0, 0, 0}, -1));
    const std::int32_t columns[] = {0, 2, 1};
    std::vector<miniffx::RowTarget> rows(2, {0, nullptr, columns, nullptr, nullptr, nullptr});
    const std::int32_t atoms[] = {0, 0};
    std::vector<std::int32_t> room(64);
    const std::int32_t narrow[] = {0, 0, 0};
    const miniffx::RowTarget twice{2, atoms, narrow, room.data(), room.data(), room.data()};
    const miniffx::RowTarget none{0, nullptr, narrow, nullptr, nullptr, nullptr};
    CHECK_THROWS(std::invalid_argument, "`centers`",
                 miniffx::fill_rows(neighbors, species.data(), {twice, none}, {}, 0, true));
    CHECK_THROWS(std::invalid_argument, "`columns`", miniffx::fill_rows(neighbors, species.data(), rows, {}, 0, true));
}

}  // namespace

int main() {
    against_the_lists();
    one_species();
    larger_than_the_caches();
    overflow_is_reported();
    no_atoms_and_no_species();
    centers_are_listed();
    errors();
    return testing::finish();
}
