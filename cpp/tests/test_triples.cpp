#include <stdexcept>

#include "check.hpp"
#include "miniffx/triples.hpp"

namespace {

using testing::Random;
using testing::System;

double square(const double* d) { return d[0] * d[0] + d[1] * d[1] + d[2] * d[2]; }

void check_triples(const System& s, double cutoff, bool closed) {
    const miniffx::Pairs pairs = testing::find_pairs(s);
    std::vector<std::array<std::int64_t, 2>> expected;
    for (std::int64_t p = 0; p < pairs.size(); ++p) {
        for (std::int64_t q = p + 1; q < pairs.size(); ++q) {
            const double *u = pairs.vector.data() + 3 * p, *v = pairs.vector.data() + 3 * q;
            if (pairs.i[p] != pairs.i[q]) break;
            if (square(u) >= cutoff * cutoff || square(v) >= cutoff * cutoff) continue;
            const double side[3] = {v[0] - u[0], v[1] - u[1], v[2] - u[2]};
            if (closed && square(side) >= cutoff * cutoff) continue;
            expected.push_back({p, q});
        }
    }
    for (const int threads : {1, 2, 8}) {
        const miniffx::Triples triples = miniffx::find_triples(pairs, cutoff, closed, threads);
        bool equal = triples.first.size() == static_cast<std::int64_t>(expected.size()) &&
                     triples.second.size() == triples.first.size();
        for (std::int64_t t = 0; equal && t < triples.first.size(); ++t) {
            const auto& want = expected[static_cast<std::size_t>(t)];
            equal = triples.first[t] == want[0] && triples.second[t] == want[1];
        }
        CHECK_NOTE(equal, s.name);
    }
}

}  // namespace

int main() {
    Random random(1);
    for (int round = 0; round < 10; ++round) {
        const System s = testing::random_system(random, 5 + 6 * round, 3.5, 2.5);
        for (const bool closed : {false, true}) {
            check_triples(s, 2.5, closed);
            check_triples(s, 1.7, closed);
        }
    }
    // A cubic crystal: neighbours exactly at the cutoff are no neighbours, sides exactly at it no sides.
    System cubic{"one atom, cubic", {0, 0, 0}, {1, 0, 0, 0, 1, 0, 0, 0, 1}, {true, true, true}, 2.1};
    for (const double cutoff : {1.0, 1.2, std::sqrt(2.0), 1.5, 2.0}) {
        for (const bool closed : {false, true}) check_triples(cubic, cutoff, closed);
    }
    const miniffx::Pairs pairs = testing::find_pairs(cubic);
    CHECK(miniffx::find_triples(pairs, 1.2, false).first.size() == 15);
    CHECK(miniffx::find_triples(pairs, 1.2, true).first.size() == 0);
    CHECK(miniffx::find_triples(pairs, 1.45, true).first.size() > 0);

    const miniffx::Pairs none = testing::find_pairs({"", {}, cubic.cell, cubic.pbc, 2});
    CHECK(miniffx::find_triples(none, 2, true).first.size() == 0);
    CHECK_THROWS(std::invalid_argument, "`cutoff`", miniffx::find_triples(pairs, 2.2, true));
    CHECK_THROWS(std::invalid_argument, "`cutoff`", miniffx::find_triples(pairs, 0.0, true));
    CHECK_THROWS(std::invalid_argument, "`cutoff`", miniffx::find_triples(pairs, std::nan(""), true));
    return testing::finish();
}
