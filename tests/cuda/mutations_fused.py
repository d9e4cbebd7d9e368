"""Bugs to plant in the kernels of the fused operators."""

from __future__ import annotations

from mutation import Mutation

TILE = (
    Mutation(
        "every chunk is taken to be full",
        "tile.cuh",
        "pixels = min(CHUNK, static_cast<int>(HW) - chunk * CHUNK);",
        "pixels = CHUNK;",
    ),
    Mutation(
        "tiles of channels overlap",
        "tile.cuh",
        "static_cast<int>(blockIdx.x % tiles) * kChannels +",
        "static_cast<int>(blockIdx.x % tiles) +",
    ),
    Mutation("channels beyond the last", "tile.cuh", "return c < C;", "return true;"),
    Mutation(
        "look ahead beyond the chunk", "tile.cuh", "if (pixel + kRows < pixels) {", "if (true) {"
    ),
    Mutation(
        "look ahead to the same pixel",
        "tile.cuh",
        "load(activations[i], pixel + kRows)",
        "load(activations[i], pixel)",
    ),
    Mutation(
        "each tile takes the statistics of the first",
        "tile.cuh",
        "return tile.first_channel() + Shape",
        "return Shape",
    ),
    Mutation(
        "second halves of channels take the statistics of the first",
        "tile.cuh",
        "groups[i / (Shape::kLanes * G)][i / G",
        "groups[0][i / G",
    ),
    Mutation(
        "alignment of no activation matters",
        "tile.cuh",
        "if (!aligned_16(p)) return false;",
        "(void)p;",
    ),
    Mutation(
        "an activation that is not there is read",
        "tile.cuh",
        "MAYBE_NULL && activations[i] == nullptr ? Raw{} : load",
        "load",
    ),
)
MOMENTS_AND_SUMS = (
    Mutation(
        "no barrier between the rows of a tile",
        "tile_moments.cuh",
        "    squares[g][thread] = square;\n  }\n  __syncthreads();",
        "    squares[g][thread] = square;\n  }",
    ),
    Mutation(
        "no barrier between the parts of a channel",
        "tile_moments.cuh",
        "  of_parts[thread] = whole;\n  __syncthreads();",
        "  of_parts[thread] = whole;",
    ),
    Mutation(
        "every row has as many pixels",
        "tile_moments.cuh",
        "row < tile.pixels ? (tile.pixels - row - 1) / Shape::kRows + 1 : 0;",
        "(tile.pixels - 1) / Shape::kRows + 1;",
    ),
    Mutation(
        "the last part is left out",
        "tile_moments.cuh",
        "other < kParts; ++other",
        "other < kParts - 1; ++other",
    ),
    Mutation(
        "every part writes",
        "tile_moments.cuh",
        "if (part != 0 || c >= tile.C) return;",
        "if (c >= tile.C) return;",
    ),
    Mutation(
        "moments beyond the last channel",
        "tile_moments.cuh",
        "if (part != 0 || c >= tile.C) return;",
        "if (part != 0) return;",
    ),
    Mutation(
        "chunks write the same partial moments",
        "tile_moments.cuh",
        "(tile.n * chunks + tile.chunk) * 2",
        "(tile.n * chunks) * 2",
    ),
    Mutation(
        "the last chunk is merged as a full one",
        "tile_moments.cuh",
        "min(kGatherChunk, static_cast<int>(HW) - chunk * kGatherChunk);\n    merge",
        "kGatherChunk;\n    merge",
    ),
    Mutation(
        "rows of moments without their stride",
        "tile_moments.cuh",
        "static_cast<float*>(rows.second)[n * rows.stride + c]",
        "static_cast<float*>(rows.second)[n * (rows.stride - 3) + c]",
    ),
    Mutation(
        "the spread of a value ignores its own step",
        "tile_moments.cuh",
        "return delta * (delta - delta * weight);",
        "return delta * delta;",
    ),
    Mutation(
        "weights are off by one",
        "tile_moments.cuh",
        "of[i] = 1.f / static_cast<float>(i + 1);",
        "of[i] = 1.f / static_cast<float>(i + 2);",
    ),
    Mutation(
        "the last tile of a sample is not added",
        "tile_sums.cuh",
        "i < tiles; i += kBlock",
        "i + 1 < tiles; i += kBlock",
    ),
)
BN_PRELU = (
    Mutation(
        "no barrier behind the statistics",
        "bn_prelu.cu",
        "  if constexpr (MOMENTS) weights[0].fill();\n  __syncthreads();",
        "  if constexpr (MOMENTS) weights[0].fill();",
    ),
    Mutation(
        "slope on the wrong side", "bn_prelu.cu", "store<T>(z > 0.f ? z", "store<T>(z < 0.f ? z"
    ),
    Mutation(
        "moments gathered with the weight of the next pixel",
        "bn_prelu.cu",
        "weights[0].of[tile.before(pixel)]",
        "weights[0].of[tile.before(pixel) + 1]",
    ),
    Mutation(
        "packs where the channels end within one",
        "bn_prelu.cu",
        "a.C % V == 0 && all_aligned({a.x, a.y})",
        "all_aligned({a.x, a.y})",
    ),
    Mutation("magnitude forgotten", "bn_prelu.cu", "sum += fabsf(grad);", "sum += grad;"),
    Mutation(
        "terms of the first sample",
        "bn_prelu.cu",
        "a.terms.first, tile.n * a.terms.stride,",
        "a.terms.first, 0,",
    ),
    Mutation(
        "rows of terms without their stride",
        "bn_prelu.cu",
        "a.terms.second, tile.n * a.terms.stride,",
        "a.terms.second, tile.n * a.C,",
    ),
    Mutation(
        "the gradient at z = 0 decides by x",
        "bn_prelu.cu",
        "through = z > 0.f ? grad",
        "through = x > 0.f ? grad",
    ),
)
BN_ADD_BN = (
    Mutation(
        "shift of the skip forgotten",
        "bn_add_bn.cu",
        "  statistics[1].add(tile, a.skip_shift);\n",
        "",
    ),
    Mutation(
        "inputs are read again behind y",
        "bn_add_bn.cu",
        "          packs[1].at[v] = store<T>(next_scale.at[i] * y + next_shift.at[i]);",
        "          const int64_t at = tile.offset + pixel * tile.C + v;\n"
        "          static_cast<T*>(a.y)[at] = packs[0].at[v];\n"
        "          const float skip_again = load<T>(static_cast<const T*>(a.skip)[at]);\n"
        "          const float added = skip_scale.at[i] * skip_again + shift.at[i];\n"
        "          const float again = scale.at[i] * x + added;\n"
        "          packs[1].at[v] = store<T>(next_scale.at[i] * again + next_shift.at[i]);",
    ),
    Mutation(
        "the mean of y is that of x alone",
        "bn_add_bn.cu",
        "scale * of_x.mean[v] + (skip_scale * of_skip.mean[v] + shift);",
        "scale * of_x.mean[v] + shift;",
    ),
    Mutation(
        "the spread of y is that of x alone",
        "bn_add_bn.cu",
        "spread(scale * from_x + skip_scale * from_skip, weight)",
        "spread(scale * from_x, weight)",
    ),
    Mutation(
        "partial moments of skip and y share their memory",
        "bn_add_bn.cu",
        "skip.partial + size(a.skip_moments)",
        "skip.partial",
    ),
    Mutation(
        "no workspace for the moments of y",
        "bn_add_bn.cu",
        "         partial_moments_size(a->y_moments, a->N, a->HW, a->C);",
        "         0;",
    ),
    Mutation(
        "the moments of y are not merged",
        "bn_add_bn.cu",
        "finish_moments(x, skip, y, 3,",
        "finish_moments(x, skip, y, 2,",
    ),
    Mutation(
        "next is written where there is none",
        "bn_add_bn.cu",
        "if (a.next != nullptr) tile.store",
        "tile.store",
    ),
    Mutation(
        "the other gradient is left out",
        "bn_add_bn.cu",
        "load<T>(packs[0].at[v]) + load<T>(packs[1].at[v]) + from_y",
        "load<T>(packs[0].at[v]) + from_y",
    ),
    Mutation(
        "terms of x where those of y belong",
        "bn_add_bn.cu",
        "statistics[1].fill(tile, a.y_terms.second,",
        "statistics[1].fill(tile, a.x_terms.second,",
    ),
    Mutation(
        "the gradient of the branch starts from grad alone",
        "bn_add_bn.cu",
        "store<T>(scale.at[i] * total + from_x)",
        "store<T>(scale.at[i] * load<T>(packs[0].at[v]) + from_x)",
    ),
)
PRELU_DIFFERENCE = (
    Mutation(
        "bits of the mask in reverse",
        "prelu_difference.cu",
        "static_cast<unsigned>(on) << v;",
        "static_cast<unsigned>(on) << (V - 1 - v);",
    ),
    Mutation(
        "neighbours put their bits into the same place",
        "prelu_difference.cu",
        "bits <<= threadIdx.x % kSharers * V;",
        "bits <<= threadIdx.x % kSharers;",
    ),
    Mutation(
        "half of the neighbours do not give their bits",
        "prelu_difference.cu",
        "distance < kSharers; distance *= 2",
        "distance < kSharers / 2; distance *= 2",
    ),
    Mutation(
        "the mask is that of z",
        "prelu_difference.cu",
        "bits |= static_cast<unsigned>(on)",
        "bits |= static_cast<unsigned>(was_on)",
    ),
    Mutation(
        "no sign is ever crossed",
        "prelu_difference.cu",
        "on != was_on ? crossed : on ? d",
        "on ? d",
    ),
    Mutation(
        "the last copy is left out",
        "prelu_difference.cu",
        "if (copy + u >= last) break;",
        "if (copy + u >= last - 1) break;",
    ),
    Mutation(
        "a copy beyond the last is read",
        "prelu_difference.cu",
        "      if (copy + u < last) {\n",
        "      {\n",
    ),
    Mutation(
        "every copy belongs to the first image",
        "prelu_difference.cu",
        "static_cast<const T*>(a.x) + n * count)[i];",
        "static_cast<const T*>(a.x))[i];",
    ),
    Mutation(
        "blocks share out overlapping copies",
        "prelu_difference.cu",
        "first = blockIdx.y * copies_of_block,",
        "first = blockIdx.y,",
    ),
    Mutation(
        "one thread beyond the sample",
        "prelu_difference.cu",
        "  if (i >= count / V) return;\n  const int c",
        "  if (i > count / V) return;\n  const int c",
    ),
    Mutation(
        "packs whatever the alignment",
        "prelu_difference.cu",
        "return all_aligned({a.d, a.x, a.out, a.scale, a.shift, a.slope})",
        "return a.N > 0",
    ),
    Mutation(
        "the gradient reads the first bits of a byte",
        "prelu_difference.cu",
        "a.mask[at / kBits] >> (at % kBits);",
        "a.mask[at / kBits];",
    ),
    Mutation(
        "the gradient is bent where the bit is set",
        "prelu_difference.cu",
        "(bits >> v & 1) != 0 ? grad",
        "(bits >> v & 1) == 0 ? grad",
    ),
)
DROPOUT_COPIES = (
    Mutation(
        "every sample draws for the first",
        "dropout_copies.cu",
        "static_cast<uint64_t>(sample[n])",
        "static_cast<uint64_t>(sample[0])",
    ),
    Mutation("threads beyond the end", "dropout_copies.cu", "if (quad >= quads) return;", ""),
    Mutation("the threshold itself is dropped", "dropout_copies.cu", ">= threshold", "> threshold"),
    Mutation(
        "copies read on beyond the features",
        "dropout_copies.cu",
        "quad % quads_of_features",
        "quad",
    ),
    Mutation("one word for four features", "dropout_copies.cu", "block.word[i]", "block.word[0]"),
    Mutation(
        "the last part of a block is left out",
        "dropout_copies.cu",
        "(quads + kBlock - 1) / kBlock",
        "quads / kBlock",
    ),
)
FUSED_MUTATIONS = (
    *TILE, *MOMENTS_AND_SUMS, *BN_PRELU, *BN_ADD_BN, *PRELU_DIFFERENCE, *DROPOUT_COPIES,
)  # fmt: skip
