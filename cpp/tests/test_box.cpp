#include <stdexcept>

#include "check.hpp"
#include "miniffx/box.hpp"

namespace {

using testing::Random;

double determinant(const double m[3][3]) {
    return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
           m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

double dot(const double* u, const double* v) { return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]; }

void check_box(const std::array<double, 9>& cell, const std::array<bool, 3>& pbc) {
    const miniffx::Box box = miniffx::make_box(cell.data(), pbc.data());
    // The dual belongs to the axes.
    for (int k = 0; k < 3; ++k) {
        for (int l = 0; l < 3; ++l) {
            CHECK(std::abs(dot(box.dual[k], box.axis[l]) - (k == l ? 1 : 0)) < 1e-9);
        }
    }
    // The reduced vectors generate the caller's lattice, no more and no less.
    double transform[3][3];
    for (int k = 0; k < 3; ++k) {
        for (int a = 0; a < 3; ++a) transform[k][a] = static_cast<double>(box.transform[k][a]);
    }
    int open = box.n_periodic;
    for (int a = 0; a < 3; ++a) {
        if (!pbc[static_cast<std::size_t>(a)]) transform[open++][a] = 1;
    }
    CHECK(std::abs(std::abs(determinant(transform)) - 1) < 1e-6);
    // Nearly orthogonal: no reduced basis is flatter than the face-centred cubic lattice's.
    double lengths = 1;
    for (int k = 0; k < 3; ++k) lengths *= std::sqrt(dot(box.axis[k], box.axis[k]));
    CHECK(std::abs(determinant(box.axis)) > 0.7 * lengths);
    for (int k = box.n_periodic; k < 3; ++k) {
        CHECK(std::abs(dot(box.axis[k], box.axis[k]) - 1) < 1e-12);
        for (int l = 0; l < k; ++l) CHECK(std::abs(dot(box.axis[k], box.axis[l])) < 1e-9);
    }
}

void reduces_any_lattice() {
    Random random(1);
    for (int round = 0; round < 3000; ++round) {
        std::array<double, 9> cell;
        for (double& x : cell) x = testing::uniform(random, -5, 5);
        // Shear it by whole lattice vectors.
        for (const int strength : {round % 3 == 0 ? 1000 : 3, 10}) {
            const auto to = static_cast<std::size_t>(testing::integer(random, 0, 2));
            const auto from = (to + 1) % 3;
            const int m = testing::integer(random, -strength, strength);
            for (std::size_t c = 0; c < 3; ++c) cell[3 * to + c] += m * cell[3 * from + c];
        }
        const std::array<bool, 3> pbc = {round % 2 == 0, round % 5 != 0, round % 7 != 0};
        check_box(cell, pbc);
    }
}

void refuses_singular_cells() {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    const auto make = [](std::array<double, 9> cell, std::array<bool, 3> pbc) {
        return miniffx::make_box(cell.data(), pbc.data());
    };
    CHECK_THROWS(std::invalid_argument, "`cell`", make({1, 0, 0, 0, 1, 0, 1, 1, 0}, {true, true, true}));
    CHECK_THROWS(std::invalid_argument, "`cell`", make({.1, .2, .3, .3, .6, .9, 0, 0, 1}, {true, true, false}));
    CHECK_THROWS(std::invalid_argument, "`cell`", make({0, 0, 0, 0, 1, 0, 0, 0, 1}, {true, false, false}));
    CHECK_THROWS(std::invalid_argument, "`cell`", make({nan, 0, 0, 0, 1, 0, 0, 0, 1}, {true, true, true}));
    CHECK_THROWS(std::invalid_argument, "`cell`", make({1, 0, 0, 0, infinity, 0, 0, 0, 1}, {true, true, true}));
    CHECK_THROWS(std::invalid_argument, "sheared", make({1, 0, 0, 4e9, 1, 0, 0, 0, 1}, {true, true, true}));
    make({nan, 0, 0, 0, 1, 0, 0, 0, 0}, {false, true, false});  // open axes are not looked at
    make({0, 0, 0, 0, 0, 0, 0, 0, 0}, {false, false, false});
}

}  // namespace

int main() {
    reduces_any_lattice();
    refuses_singular_cells();
    return testing::finish();
}
