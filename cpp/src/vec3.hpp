#pragma once

#include <cmath>

namespace miniffx {

inline double dot(const double* u, const double* v) { return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]; }

inline double norm(const double* u) { return std::sqrt(dot(u, u)); }

inline void cross(const double* u, const double* v, double* w) {
    w[0] = u[1] * v[2] - u[2] * v[1];
    w[1] = u[2] * v[0] - u[0] * v[2];
    w[2] = u[0] * v[1] - u[1] * v[0];
}

}  // namespace miniffx
