"""The host's upscalers: one class for each folder, and entries with a name."""

import os

from modules import paths


class UpscalerData:
    """An entry of the list."""

    def __init__(self, name, path, upscaler=None, scale=4, model=None):
        self.name, self.data_path, self.local_data_path = name, path, path
        self.scaler, self.scale, self.model = upscaler, scale, model


class Upscaler:
    """What runs entries; a failure gives the picture back as it was."""

    name = None
    model_name = model_url = model_download_path = user_path = None

    def __init__(self, create_dirs=False):
        self.model_path = os.path.join(paths.models_path, self.name) if self.name else None
        self.scalers = []

    def upscale(self, img, scale, selected_model=None):
        """To multiples of 8."""
        return img.resize((int(img.width * scale // 8 * 8), int(img.height * scale // 8 * 8)))


class UpscalerNone(Upscaler):
    """Does nothing."""

    def __init__(self, dirname=None):
        super().__init__()
        self.scalers = [UpscalerData("None", None, self)]


class UpscalerESRGAN(Upscaler):
    """Files .pt and .pth of one folder, all taken for 4x."""

    name = "ESRGAN"

    def __init__(self, dirname=None):
        super().__init__()
        for folder, _, files in os.walk(self.model_path):
            for file in sorted(files):
                stem, ending = os.path.splitext(file)
                if ending in (".pt", ".pth"):
                    self.scalers.append(UpscalerData(stem, os.path.join(folder, file), self))


class UpscalerScuNET(Upscaler):
    """An entry that is an address until it is used."""

    name = "ScuNET"

    def __init__(self, dirname=None):
        super().__init__()
        url = "https://github.com/cszn/KAIR/releases/download/v1.0/scunet_color_real_psnr.pth"
        self.scalers = [UpscalerData("ScuNET PSNR", url, self)]


class UpscalerLDSR(Upscaler):
    """A diffusion model."""

    name = "LDSR"

    def __init__(self, dirname=None):
        super().__init__()
        self.scalers = [UpscalerData("LDSR", None, self)]
