#include "miniffx/box.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "text.hpp"
#include "vec3.hpp"

namespace miniffx {
namespace {

// Volume of the periodic vectors relative to the product of their lengths, below which they count as
// dependent: far above the round-off of a dependent set, far below any cell worth a simulation.
constexpr double kSingular = 1e-13;

std::string describe(const double cell[3][3]) {
    std::string text;
    for (int k = 0; k < 3; ++k) {
        text += (k == 0 ? "[[" : ", [") + text_of(cell[k][0]) + ", " + text_of(cell[k][1]) + ", " +
                text_of(cell[k][2]) + "]";
    }
    return text + "]";
}

void check_vectors(const Box& box, const double* user_cell) {
    const double* vectors[3] = {};
    double lengths[3] = {};
    double product = 1;
    int n = 0;
    bool valid = true;
    for (int a = 0; a < 3; ++a) {
        if (!box.periodic[a]) continue;
        vectors[n] = box.cell[a];
        lengths[n] = norm(vectors[n]);
        // The bounds keep squares and products of lengths away from underflow and overflow.
        valid = valid && lengths[n] > 1e-50 && lengths[n] < 1e50;
        product *= lengths[n++];
    }
    if (valid && n >= 2) {
        double normal[3];
        cross(vectors[0], vectors[1], normal);
        const double volume = n == 2 ? norm(normal) : std::abs(dot(normal, vectors[2]));
        valid = volume > kSingular * product;
    }
    if (valid) return;
    double cell[3][3];
    std::copy(user_cell, user_cell + 9, &cell[0][0]);
    throw std::invalid_argument("`cell` must have finite, linearly independent vectors on its periodic axes, got " +
                                describe(cell));
}

void rebuild_axis(Box& box, int k) {
    for (int c = 0; c < 3; ++c) {
        double sum = 0;
        for (int a = 0; a < 3; ++a) sum += static_cast<double>(box.transform[k][a]) * box.cell[a][c];
        box.axis[k][c] = sum;
    }
}

// Replaces axis[k] by axis[k] - sum_l m[l] axis[l] if that is shorter by more than round-off.
bool shorten(Box& box, int k, const double* m) {
    Box trial = box;
    for (int l = 0; l < k; ++l) {
        for (int a = 0; a < 3; ++a) {
            const double entry =
                static_cast<double>(trial.transform[k][a]) - m[l] * static_cast<double>(box.transform[l][a]);
            if (std::abs(entry) > 2147483647.0) {
                throw std::invalid_argument("`cell` must not be sheared by more than 2^31 lattice vectors, got " +
                                            describe(box.cell));
            }
            trial.transform[k][a] = static_cast<std::int64_t>(entry);
        }
    }
    rebuild_axis(trial, k);
    if (!(dot(trial.axis[k], trial.axis[k]) < (1 - 1e-10) * dot(box.axis[k], box.axis[k]))) return false;
    box = trial;
    return true;
}

// Subtracts from axis[k] the lattice vector of the shorter axes that is closest to it.
bool reduce_axis(Box& box, int k) {
    const double* u = box.axis[0];
    const double* w = box.axis[k];
    if (k == 1) {
        const double m = std::nearbyint(dot(w, u) / dot(u, u));
        return m != 0 && shorten(box, k, &m);
    }
    const double* v = box.axis[1];
    const double uu = dot(u, u), uv = dot(u, v), vv = dot(v, v), wu = dot(w, u), wv = dot(w, v);
    const double determinant = uu * vv - uv * uv;
    const double m0 = std::floor((wu * vv - wv * uv) / determinant);
    const double m1 = std::floor((wv * uu - wu * uv) / determinant);
    // u and v are reduced, so the closest vector is at one of the corners around the projection; one more to
    // either side costs nothing and covers round-off.
    double best[2] = {0, 0};
    double shortest = dot(w, w);
    for (int d0 = -1; d0 <= 2; ++d0) {
        for (int d1 = -1; d1 <= 2; ++d1) {
            double rest[3];
            for (int c = 0; c < 3; ++c) rest[c] = w[c] - ((m0 + d0) * u[c] + (m1 + d1) * v[c]);
            if (dot(rest, rest) < shortest) {
                shortest = dot(rest, rest);
                best[0] = m0 + d0;
                best[1] = m1 + d1;
            }
        }
    }
    return (best[0] != 0 || best[1] != 0) && shorten(box, k, best);
}

// Lagrange's reduction in two dimensions, and its extension to three (I. Semaev, "A 3-dimensional lattice
// reduction algorithm", CaLC 2001). Every step is unimodular, so any stopping point is a basis of the
// lattice.
void reduce_lattice(Box& box) {
    constexpr int kMostSteps = 1000;
    bool changed = true;
    for (int step = 0; changed && step < kMostSteps; ++step) {
        for (int k = 1; k < box.n_periodic; ++k) {
            for (int l = k; l > 0 && dot(box.axis[l], box.axis[l]) < dot(box.axis[l - 1], box.axis[l - 1]); --l) {
                std::swap(box.axis[l], box.axis[l - 1]);
                std::swap(box.transform[l], box.transform[l - 1]);
            }
        }
        changed = false;
        for (int k = 1; !changed && k < box.n_periodic; ++k) changed = reduce_axis(box, k);
    }
}

// Unit vectors for the open directions, orthogonal to the lattice and to each other.
void complete_basis(Box& box) {
    if (box.n_periodic == 0) {
        for (int k = 0; k < 3; ++k) {
            for (int c = 0; c < 3; ++c) box.axis[k][c] = k == c ? 1 : 0;
        }
    }
    if (box.n_periodic == 1) {
        const double* u = box.axis[0];
        int smallest = 0;
        for (int c = 1; c < 3; ++c) {
            if (std::abs(u[c]) < std::abs(u[smallest])) smallest = c;
        }
        double unit[3] = {};
        unit[smallest] = 1;
        cross(u, unit, box.axis[1]);
        const double length = norm(box.axis[1]);
        for (double& x : box.axis[1]) x /= length;
    }
    if (box.n_periodic == 1 || box.n_periodic == 2) {
        cross(box.axis[0], box.axis[1], box.axis[2]);
        const double length = norm(box.axis[2]);
        for (double& x : box.axis[2]) x /= length;
    }
}

}  // namespace

Box make_box(const double* cell, const bool* pbc) {
    Box box{};
    for (int a = 0; a < 3; ++a) {
        box.periodic[a] = pbc[a];
        if (!pbc[a]) continue;
        std::copy(cell + 3 * a, cell + 3 * a + 3, box.cell[a]);
        box.transform[box.n_periodic++][a] = 1;
    }
    check_vectors(box, cell);
    for (int k = 0; k < box.n_periodic; ++k) rebuild_axis(box, k);
    reduce_lattice(box);
    complete_basis(box);

    for (int k = 0; k < 3; ++k) {
        cross(box.axis[(k + 1) % 3], box.axis[(k + 2) % 3], box.dual[k]);
        const double volume = dot(box.dual[k], box.axis[k]);
        for (double& x : box.dual[k]) x /= volume;
    }
    return box;
}

}  // namespace miniffx
