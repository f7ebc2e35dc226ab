// What the tests share: checks that count failures, a random source, structures, and the brute force.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "miniffx/pairs.hpp"

namespace testing {

inline int failures = 0;

inline bool check(bool passed, const char* what, const char* file, int line, const std::string& note = "") {
    if (!passed) {
        ++failures;
        std::printf("%s:%d: %s %s\n", file, line, what, note.c_str());
    }
    return passed;
}

#define CHECK(condition) testing::check((condition), #condition, __FILE__, __LINE__)
#define CHECK_NOTE(condition, note) testing::check((condition), #condition, __FILE__, __LINE__, (note))

// The call throws `Exception` and its message contains `text`.
#define CHECK_THROWS(Exception, text, call)                                      \
    do {                                                                         \
        bool thrown = false;                                                     \
        try {                                                                    \
            (void)(call);                                                        \
        } catch (const Exception& error) {                                       \
            thrown = std::string(error.what()).find(text) != std::string::npos;  \
            if (!thrown) std::printf("got: %s\n", error.what());                 \
        }                                                                        \
        testing::check(thrown, #call " throws " #Exception, __FILE__, __LINE__); \
    } while (false)

inline int finish() {
    if (failures == 0) return 0;
    std::printf("%d checks failed\n", failures);
    return 1;
}

using Random = std::mt19937_64;

inline double uniform(Random& random, double low, double high) {
    return low + (high - low) * static_cast<double>(random() >> 11) * 0x1p-53;
}

inline int integer(Random& random, int low, int high) {  // both included
    return low + static_cast<int>(random() % static_cast<std::uint64_t>(high - low + 1));
}

struct System {
    std::string name;
    std::vector<double> positions;
    std::array<double, 9> cell;
    std::array<bool, 3> pbc;
    double cutoff;

    std::int64_t size() const { return static_cast<std::int64_t>(positions.size()) / 3; }
};

inline miniffx::Neighbors find_neighbors(const System& s, int threads = 0, const std::int32_t* species = nullptr) {
    return miniffx::find_neighbors(s.size(), s.positions.data(), s.cell.data(), s.pbc.data(), s.cutoff, species,
                                   threads);
}

inline miniffx::Pairs find_pairs(const System& s, int threads = 0, const std::int32_t* species = nullptr) {
    return miniffx::find_pairs(s.size(), s.positions.data(), s.cell.data(), s.pbc.data(), s.cutoff, species, threads);
}

using Key = std::tuple<int, int, int, int, int>;  // i, j, shift

struct Entry {
    Key key;
    std::array<double, 3> d;
    bool operator<(const Entry& other) const { return key < other.key; }
    bool operator==(const Entry& other) const { return key == other.key && d == other.d; }
};

inline std::vector<Entry> entries(const miniffx::Pairs& pairs) {
    std::vector<Entry> list;
    for (std::int64_t p = 0; p < pairs.size(); ++p) {
        list.push_back({{pairs.i[p], pairs.j[p], pairs.shift[3 * p], pairs.shift[3 * p + 1], pairs.shift[3 * p + 2]},
                        {pairs.vector[3 * p], pairs.vector[3 * p + 1], pairs.vector[3 * p + 2]}});
    }
    std::sort(list.begin(), list.end());
    return list;
}

// Every image of every pair, without any bins: shifts around the least-squares solution of D = 0, out to the
// number of lattice planes that the cutoff reaches. The Gram matrix of the periodic vectors gives both.
inline std::vector<Entry> brute_force(const System& s) {
    std::vector<int> axes;
    for (int a = 0; a < 3; ++a) {
        if (s.pbc[static_cast<std::size_t>(a)]) axes.push_back(a);
    }
    const auto n = axes.size();
    const auto cell = [&](int a, int c) {
        return s.pbc[static_cast<std::size_t>(a)] ? s.cell[static_cast<std::size_t>(3 * a + c)] : 0.0;
    };
    // Gauss-Jordan with pivoting on [Gram | 1].
    long double m[3][6] = {};
    for (std::size_t k = 0; k < n; ++k) {
        for (std::size_t l = 0; l < n; ++l) {
            for (int c = 0; c < 3; ++c) m[k][l] += static_cast<long double>(cell(axes[k], c)) * cell(axes[l], c);
        }
        m[k][3 + k] = 1;
    }
    for (std::size_t k = 0; k < n; ++k) {
        std::size_t pivot = k;
        for (std::size_t l = k; l < n; ++l) {
            if (std::fabs(m[l][k]) > std::fabs(m[pivot][k])) pivot = l;
        }
        std::swap(m[k], m[pivot]);
        const long double scale = m[k][k];
        for (auto& x : m[k]) x /= scale;
        for (std::size_t l = 0; l < n; ++l) {
            const long double factor = m[l][k];
            for (std::size_t c = 0; l != k && c < 6; ++c) m[l][c] -= factor * m[k][c];
        }
    }
    std::array<int, 3> reach{};
    for (std::size_t k = 0; k < n; ++k) {
        const auto inverse_height = static_cast<double>(std::sqrt(m[k][3 + k]));
        reach[static_cast<std::size_t>(axes[k])] =
            static_cast<int>(std::ceil(s.cutoff * inverse_height * (1 + 1e-6))) + 1;
    }

    double rows[3][3];
    for (int a = 0; a < 3; ++a) {
        for (int c = 0; c < 3; ++c) rows[a][c] = cell(a, c);
    }
    std::vector<Entry> list;
    for (int i = 0; i < s.size(); ++i) {
        for (int j = 0; j < s.size(); ++j) {
            const double* ri = s.positions.data() + 3 * i;
            const double* rj = s.positions.data() + 3 * j;
            std::array<int, 3> around{};
            for (std::size_t k = 0; k < n; ++k) {
                long double along = 0;
                for (std::size_t l = 0; l < n; ++l) {
                    for (int c = 0; c < 3; ++c) {
                        along += m[k][3 + l] * cell(axes[l], c) * (static_cast<long double>(ri[c]) - rj[c]);
                    }
                }
                around[static_cast<std::size_t>(axes[k])] = static_cast<int>(std::lround(along));
            }
            for (int s0 = around[0] - reach[0]; s0 <= around[0] + reach[0]; ++s0) {
                for (int s1 = around[1] - reach[1]; s1 <= around[1] + reach[1]; ++s1) {
                    for (int s2 = around[2] - reach[2]; s2 <= around[2] + reach[2]; ++s2) {
                        if (i == j && s0 == 0 && s1 == 0 && s2 == 0) continue;
                        double d[3];
                        for (int c = 0; c < 3; ++c) {
                            d[c] = (rj[c] - ri[c]) + ((s0 * rows[0][c] + s1 * rows[1][c]) + s2 * rows[2][c]);
                        }
                        if (d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < s.cutoff * s.cutoff) {
                            list.push_back({{i, j, s0, s1, s2}, {d[0], d[1], d[2]}});
                        }
                    }
                }
            }
        }
    }
    std::sort(list.begin(), list.end());
    return list;
}

template <class T>
bool same(const miniffx::Buffer<T>& u, const miniffx::Buffer<T>& v) {
    return u.size() == v.size() && std::equal(u.begin(), u.end(), v.begin());
}

// Identical to the bit, order included.
inline bool same(const miniffx::Pairs& u, const miniffx::Pairs& v) {
    return same(u.offsets, v.offsets) && same(u.i, v.i) && same(u.j, v.j) && same(u.shift, v.shift) &&
           same(u.vector, v.vector);
}

inline System random_system(Random& random, int n_atoms, double edge, double cutoff) {
    System s{"random", {}, {edge, 0, 0, 0, edge, 0, 0, 0, edge}, {true, true, true}, cutoff};
    for (int k = 0; k < 3 * n_atoms; ++k) s.positions.push_back(uniform(random, 0, edge));
    return s;
}

}  // namespace testing
