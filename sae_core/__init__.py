"""The science of Featurescope, which knows neither the web nor the database.

In: language models, dictionaries and texts, by folder, file or name. Out: tensors, or frozen types
without torch where the store and the pages take over (`harvest.records`, `evaluation.figures`).
Called by `app`, which it never imports.

- `language_model`: a model with hook points, whatever its architecture; `dictionaries`: sparse
  autoencoders and their relatives, in every format that is read.
- `text`: documents as tokens in windows.
- `harvest`: one pass over a text that describes every feature; `evaluation`: how good a dictionary
  is; `interventions`: ablation, attribution, occlusion and steering.
- `training`: dictionaries from activations; `toy`: data whose true directions are known.
- `files`: reading and writing on disk and from the Hub. `errors`, `hashing` and `demo_model` stand
  alone.
"""
