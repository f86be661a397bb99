// Cooperative matrices of 16x16, a subgroup of 32 lanes each: what NVIDIA's GPUs have.

const MATRIX: u32 = 16u;
const LANES: u32 = 32u;

alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;
