// Preload library that makes LibTorch one that was built without oneDNN:
//
//   LD_PRELOAD=no_onednn_shim.so knlp train --set GEMM_ONEDNN=y

// at::Context::hasMKLDNN()
extern "C" bool _ZN2at7Context9hasMKLDNNEv() {
    return false;
}
