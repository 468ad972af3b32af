list-y := activations.o block.o buffer.o chain.o dropout_site.o kernel_set.o pass.o product.o route_choice.o product_trial.o
torch-y := parts.o
